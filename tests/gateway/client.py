"""A client that speaks the protocol frame by frame, so that tests see everything and can do everything wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

import websockets
from websockets.asyncio.client import ClientConnection

WAIT = 15.0
"""Seconds for anything to happen on a busy machine."""
Json = dict[str, Any]


class Wire:
    """One socket. Replies are matched by id, pushes are kept in order."""

    def __init__(self, socket: ClientConnection, *, pongs: bool = True) -> None:
        self.socket = socket
        self.pushes: list[Json] = []
        self.pings = 0
        self._pongs = pongs
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Json]] = {}
        self._changed = asyncio.Event()
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            async for frame in self.socket:
                for line in str(frame).splitlines():
                    await self._take(json.loads(line))
        except websockets.ConnectionClosed:
            pass
        finally:
            for reply in self._replies.values():  # nobody answers any more
                reply.cancel()
            self._changed.set()

    async def _take(self, message: Json) -> None:
        if not message:
            self.pings += 1
            if self._pongs:
                await self.socket.send("{}")
        elif "id" in message:
            self._replies.pop(message["id"]).set_result(message)
        else:
            self.pushes.append(message["push"])
        self._changed.set()

    async def send(self, *commands: Json) -> list[asyncio.Future[Json]]:
        """Several commands in one frame; the futures of their replies."""
        numbered = [{"id": next(self._ids), **command} for command in commands]
        futures: list[asyncio.Future[Json]] = []
        for command in numbered:
            futures.append(asyncio.get_running_loop().create_future())
            self._replies[command["id"]] = futures[-1]
        await self.socket.send("\n".join(map(json.dumps, numbered)))
        return futures

    async def ask(self, **command: Any) -> Json:
        """One command and its whole reply."""
        (future,) = await self.send(command)
        return await asyncio.wait_for(future, WAIT)

    async def patient(self, **command: Any) -> Json:
        """As `ask`, but again and again while the reply is a temporary error, as every client does."""
        async with asyncio.timeout(WAIT):
            while True:
                reply = await self.ask(**command)
                if not reply.get("error", {}).get("temporary"):
                    return reply
                await asyncio.sleep(0.2)

    async def rpc(self, method: str, data: Json | None = None) -> Json:
        """The result's data. Fails on an error that is not temporary."""
        reply = await self.patient(rpc={"method": method, "data": data or {}})
        assert "rpc" in reply, reply
        result: Json = reply["rpc"]["data"]
        return result

    async def present(self, room: str) -> dict[str, Json]:
        """What a room's presence says of each client."""
        reply = await self.patient(presence={"channel": f"room:{room}"})
        clients: dict[str, Json] = reply["presence"]["presence"]
        return clients

    async def error(self, **command: Any) -> int:
        """The error code of a command that must be refused."""
        return _code(await self.ask(**command))

    async def refused(self, **command: Any) -> int:
        """As `error`, of one that is not temporary."""
        return _code(await self.patient(**command))

    async def until(self, condition: Callable[[], object], within: float = WAIT) -> None:
        """Wait for something that a push, a ping or the end brings. `within`: seconds."""
        async with asyncio.timeout(within):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def heard(self, room: str, count: int) -> None:
        """Wait for that many events of a room."""
        await self.until(lambda: len(self.events(room)) >= count)

    @property
    def over(self) -> bool:
        """Whether the socket has ended."""
        return self.socket.close_code is not None

    async def closed(self) -> int:
        """The code that the server closes with."""
        await asyncio.wait_for(asyncio.shield(self._reading), WAIT)
        assert self.socket.close_code is not None
        return self.socket.close_code

    def events(self, room: str) -> list[Json]:
        """Events of a room pushed so far."""
        return [push["pub"]["data"] for push in self.pushes if push["channel"] == f"room:{room}" and "pub" in push]

    def offsets(self, room: str) -> list[int]:
        """Their numbers."""
        return [event["offset"] for event in self.events(room)]

    async def leave(self) -> None:
        """Close, and wait for the reader."""
        await self.socket.close()
        await self._reading

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, pongs: bool = True, **options: Any) -> AsyncIterator[Self]:
        """A socket without a session."""
        options = {"compression": None, "max_size": None, "proxy": None, "ping_interval": None, **options}
        wire = cls(await websockets.connect(url, **options), pongs=pongs)
        try:
            yield wire
        finally:
            await wire.leave()


Dial = Callable[[], Awaitable[socket.socket]]
"""A connected socket, with whatever options a test wants."""


@asynccontextmanager
async def session(
    url: str, token: str, *, pongs: bool = True, dial: Dial | None = None, **connect: Any
) -> AsyncIterator[tuple[Wire, Json]]:
    """A connected client and the result of its connect. Tries again on a temporary error, as every SDK does."""
    async with AsyncExitStack() as sockets, asyncio.timeout(None) as patience:
        patience.reschedule(asyncio.get_running_loop().time() + WAIT)
        while True:
            options = {} if dial is None else {"sock": await dial()}
            wire = await sockets.enter_async_context(Wire.open(url, pongs=pongs, **options))
            reply = await wire.ask(connect={"token": token, **connect})
            if "connect" in reply:
                patience.reschedule(None)
                yield wire, reply["connect"]
                return
            assert reply["error"].get("temporary"), reply
            await sockets.aclose()


async def closed_at_once(url: str, token: str, *behind: Json) -> int:
    """The code that ends a socket whose first frame has a connect, and these commands behind it.

    Tries again when the connect is answered with a temporary error, as every SDK does.
    """
    while True:
        async with Wire.open(url) as wire:
            opened, *_ = await wire.send({"connect": {"token": token}}, *behind)
            code = await wire.closed()
            reply = {} if opened.cancelled() else await opened
            if not reply.get("error", {}).get("temporary"):
                return code


def _code(reply: Json) -> int:
    assert "error" in reply, reply
    assert reply["error"]["message"]
    code: int = reply["error"]["code"]
    return code

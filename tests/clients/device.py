"""One device that keeps every push it gets, for tests that look at single pushes. It does not come back when closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from pulsar_data.ids import new_key
from tests.clients import patience
from tests.clients.patience import WITHIN
from tests.clients.people import Person
from tests.clients.socket import ErrorReply, Gone, Socket

Json = Mapping[str, Any]


class Device:
    """An open connection. `pushes`: all of them so far, in order."""

    def __init__(self, person: Person, socket: Socket) -> None:
        self.user = person.user
        self.welcome = socket.welcome
        self.pushes: list[Json] = []
        self._socket = socket
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def connected(cls, person: Person, gateway: str, **request: Any) -> AsyncIterator[Device]:
        """Connected to this gateway for the length of a block."""
        socket = await patience.let_in(gateway, {"token": person.token, **request})
        device = cls(person, socket)
        listening = asyncio.create_task(device._listen())
        try:
            yield device
        finally:
            listening.cancel()
            await socket.close()

    async def _listen(self) -> None:
        try:
            async for push in self._socket.pushes():
                self.pushes.append(push)
                self._changed.set()
        except Gone:
            self._changed.set()

    async def call(self, method: str, **data: Any) -> Json:
        """Call a method; a change gets a fresh key if none is given. Tries again what fails for the moment."""
        if method not in KEYLESS:
            data.setdefault("key", new_key(time.time_ns() // 1_000_000))
        return await patience.call(self._socket, method, data)

    async def ask(self, request: str, **body: Any) -> Json:
        """One command of the protocol that is no `rpc`. Raises ErrorReply."""
        return await self._socket.ask(request, body)

    async def once(self, method: str, **data: Any) -> ErrorReply | None:
        """The error that a call is answered with, however passing; it is not tried again. None: it succeeded."""
        key = {} if method in KEYLESS else {"key": new_key(time.time_ns() // 1_000_000)}
        try:
            await self._socket.rpc(method, key | data)
        except ErrorReply as error:
            return error
        return None

    async def refused(self, method: str, **data: Any) -> int:
        """The code with which it is refused."""
        with pytest.raises(ErrorReply) as caught:
            await self.call(method, **data)
        return caught.value.code

    async def push(self, what: str, condition: Callable[[Json], bool]) -> Json:
        """The first push that fulfils the condition: one that has come, or will come."""
        async with asyncio.timeout(WITHIN):
            while True:
                for push in self.pushes:
                    if condition(push):
                        return push
                self._changed.clear()
                await self._changed.wait()
        raise AssertionError(what)

    async def event(self, room: str, kind: str) -> Json:
        """The first event of that type in a room."""
        push = await self.push(kind, lambda push: _event(push, room).get("type") == kind)
        pub: Json = push["pub"]
        return pub

    def events(self, room: str) -> list[str]:
        """Types of the events of a room that have come so far."""
        return [event["type"] for push in self.pushes if (event := _event(push, room))]

    async def entered(self, room: str) -> None:
        """Wait until it is in a room."""
        if f"room:{room}" not in self.welcome["subs"]:
            await self.push("subscribe", lambda push: push.get("channel") == f"room:{room}" and "subscribe" in push)

    async def put_out(self, room: str) -> None:
        """Wait until it is not in a room any more that it was in."""
        await self.push("unsubscribe", lambda push: push.get("channel") == f"room:{room}" and "unsubscribe" in push)


KEYLESS = {
    "message.list",
    "message.search",
    "message.read",
    "room.list",
    "room.get",
    "member.list",
    "user.get",
    "user.find",
}


def _event(push: Json, room: str) -> Json:
    """The room event that a push is; empty for any other push."""
    event: Json = push.get("pub", {}).get("data", {}) if push.get("channel") == f"room:{room}" else {}
    return event


@asynccontextmanager
async def devices(*people: tuple[Person, str]) -> AsyncIterator[list[Device]]:
    """A device for each: whose, and on which gateway."""
    async with AsyncExitStack() as open_things:
        yield [await open_things.enter_async_context(Device.connected(*one)) for one in people]


async def group(*members: Device, kind: str = "group") -> str:
    """A new room of these, made by the first of them. Returns when all are in it."""
    first, *others = members
    made = await first.call("room.create", kind=kind, name="Test", members=[other.user for other in others])
    room = str(made["room"])
    for member in members:
        await member.entered(room)
    return room

"""A chat client that comes back: it goes on where it was, on any gateway, and sends again what was not acked.

connect -> snapshot -> pushes -> closed -> connect with positions -> recovered, or reload by message.list -> ...
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import httpx

from pulsar_data.ids import new_key
from tests.clients.feed import Feed
from tests.clients.journal import Acked, Arrived, Attempted, Dropped, Journal, Refused
from tests.clients.people import Person
from tests.clients.socket import ErrorReply, Gone, Socket

Json = Mapping[str, Any]
FIRST, LONGEST = 0.05, 3.0
"""Seconds before something that failed for the moment is tried again: doubling, as SDKs do, from a quicker start."""
PATIENCE = 60.0
"""Seconds for one message to be acked."""
_FOR_GOOD = range(3500, 4000)
_EXPIRED = 109


class ClosedForGood(Exception):
    """The server does not want to see this client again (close codes 3500-3999, or a refused token)."""


class Backoff:
    """Waits longer each time, and never as long as others do."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._longest = FIRST

    async def wait(self) -> None:
        """Wait, and be ready to wait longer."""
        longest, self._longest = self._longest, min(self._longest * 2, LONGEST)
        await asyncio.sleep(longest * self._chance.uniform(0.5, 1.5))


class ChatClient:
    """One device of one user. `run` in a task of its own; all else works while it runs."""

    def __init__(self, gateways: Sequence[str], person: Person, journal: Journal, chance: random.Random) -> None:
        self.journal = journal
        self.feeds: dict[str, Feed] = {}
        self.arrivals = 0
        """How often it was let in."""
        self._gateways = itertools.cycle(gateways)
        self._token = person.token
        self._session = person.session
        self._chance = chance
        self._socket: Socket | None = None
        self._changed = asyncio.Condition()

    @property
    def settled(self) -> bool:
        """Whether it is connected, and reads nothing again just now."""
        return self._socket is not None and all(feed.whole for feed in self.feeds.values())

    async def run(self) -> None:
        """Be connected, until cancelled. Raises ClosedForGood."""
        backoff = Backoff(self._chance)
        for gateway in self._gateways:
            came_in = self.arrivals
            try:
                await self._visit(gateway)
            except Gone as gone:
                self.journal.note(Dropped(gateway, gone.code, time.monotonic()))
                if gone.code in _FOR_GOOD:
                    raise ClosedForGood(f"{self.journal.client} was closed with {gone.code}") from gone
            if self.arrivals > came_in:
                backoff = Backoff(self._chance)
            await backoff.wait()

    async def _visit(self, gateway: str) -> None:
        """One connection, from its opening to its end. Raises Gone, ClosedForGood."""
        socket = await self._open(gateway)
        try:
            async with asyncio.TaskGroup() as tasks:
                self.journal.note(Arrived(gateway, time.monotonic()))
                self._restore(socket, tasks)
                await self._wake(socket)
                code = await self._listen(socket, tasks)
        finally:
            self._socket = None
            await socket.close()
        raise Gone(code)

    async def _open(self, gateway: str) -> Socket:
        positions = {f"room:{room}": feed.resume for room, feed in self.feeds.items() if feed.resume is not None}
        try:
            return await Socket.open(gateway, {"token": self._token, "subs": positions})
        except ErrorReply as error:
            if error.code == _EXPIRED:
                await self._renew()
            elif not error.temporary:
                raise ClosedForGood(f"{self.journal.client} may not connect: {error}") from error
            raise Gone(1006, "not now") from error

    async def _renew(self) -> None:
        with suppress(httpx.HTTPError):  # the next try asks again
            if self._session is not None:
                self._token = await self._session.renew()

    def _restore(self, socket: Socket, tasks: asyncio.TaskGroup) -> None:
        self.arrivals += 1
        heads = {room["room"]: room["head"]["seq"] for room in socket.welcome["data"]["rooms"]}
        for channel, position in socket.welcome["subs"].items():
            if channel.startswith("room:"):
                room = channel.removeprefix("room:")
                self._enter(room, position, heads[room], socket, tasks)

    async def _listen(self, socket: Socket, tasks: asyncio.TaskGroup) -> int:
        """Take in what is pushed. Returns the close code."""
        try:
            async for push in socket.pushes():
                await self._pushed(push, socket, tasks)
        except Gone as gone:
            return gone.code
        return 1006

    def _enter(self, room: str, position: Json, head: int, socket: Socket, tasks: asyncio.TaskGroup) -> None:
        feed = self.feeds.get(room)
        if feed is None:
            self.feeds[room] = Feed(self.journal, room, position, head)
        elif position.get("recovered"):
            feed.recovered(position)
        else:
            feed.reloading(position)
            tasks.create_task(self._reload(socket, feed, head))

    async def _reload(self, socket: Socket, feed: Feed, until: int) -> None:
        """Read what the client does not have, up to the seq at which it was let in again."""
        backoff = Backoff(self._chance)
        while feed.seq < until:
            try:
                page = await socket.rpc("message.list", {"room": feed.room, "after": feed.seq, "limit": 200})
            except ErrorReply:
                await backoff.wait()
            except Gone:
                return
            else:
                feed.reloaded(page["messages"], until)
        feed.caught_up()

    async def _pushed(self, push: Json, socket: Socket, tasks: asyncio.TaskGroup) -> None:
        kind, _, room = push.get("channel", "").partition(":")
        if kind == "user":  # news, not messages
            return
        if "pub" in push:
            self.feeds[room].pushed(push["pub"])
        elif "subscribe" in push:
            position = push["subscribe"]
            self._enter(room, position, position["data"]["head"]["seq"], socket, tasks)
            await self._wake(socket)

    async def _wake(self, socket: Socket) -> None:
        self._socket = socket
        async with self._changed:
            self._changed.notify_all()

    async def in_rooms(self, rooms: Sequence[str]) -> None:
        """Wait until connected and in all of these rooms."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._socket is not None and self.feeds.keys() >= set(rooms))

    async def _connected(self) -> Socket:
        async with self._changed:
            await self._changed.wait_for(lambda: self._socket is not None)
        socket = self._socket
        if socket is None:
            raise Gone(1006)
        return socket

    async def rpc(self, method: str, data: Json) -> Json:
        """Call a method, again and again while it fails for the moment only. Raises ErrorReply."""
        backoff = Backoff(self._chance)
        while True:
            try:
                return await (await self._connected()).rpc(method, data)
            except Gone:
                await backoff.wait()
            except ErrorReply as error:
                if not error.temporary:
                    raise
                await backoff.wait()

    async def leave(self, *, politely: bool) -> None:
        """End the connection, if there is one: with a goodbye, or as a cut cable does. `run` comes back by itself."""
        if self._socket is not None:
            await (self._socket.close() if politely else self._socket.cut())

    async def rpc_once(self, method: str, data: Json) -> Json | None:
        """Call a method, once. None if the socket ended meanwhile. Raises ErrorReply."""
        try:
            return await (await self._connected()).rpc(method, data)
        except Gone:
            return None

    async def send(self, room: str, text: str, *, at: float | None = None, again: bool = True) -> None:
        """Send a message; without an ack send it again under the same key, if `again`.

        `at`: when it was meant to be sent. The outcome is in the journal: acked, refused, or neither.
        """
        now = time.monotonic()
        key = new_key(time.time_ns() // 1_000_000)
        self.journal.note(Attempted(room, key, text, now if at is None else at))
        backoff = Backoff(self._chance)
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    if await self._send_once(room, key, text) or not again:
                        return
                    await backoff.wait()
        except TimeoutError:
            return  # neither acked nor refused: the journal says so by its silence

    async def _send_once(self, room: str, key: str, text: str) -> bool:
        """Whether there is an answer that is final."""
        try:
            socket = await self._connected()
            sent = await socket.rpc("message.send", {"room": room, "key": key, "text": text})
        except Gone:
            return False
        except ErrorReply as error:
            if error.temporary:
                return False
            self.journal.note(Refused(room, key, error.code, time.monotonic()))
        else:
            self.journal.note(Acked(room, key, sent["seq"], sent["offset"], sent["duplicate"], time.monotonic()))
        return True

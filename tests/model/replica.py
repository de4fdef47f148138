"""A device that keeps a copy of its rooms, from the snapshot, what is pushed, and what it recovers; nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.clients import patience
from tests.clients.patience import WITHIN
from tests.clients.people import Person
from tests.clients.socket import ErrorReply, Gone, Socket
from tests.model.world import Said

Json = Mapping[str, Any]


@dataclass
class Copy:
    """A room as this device knows it. `offset`: of the last event it had; every next one must be one higher."""

    epoch: str
    offset: int
    said: dict[int, Said] = field(default_factory=dict)
    behind: list[Json] | None = field(default_factory=list)
    """What came before the messages that were there already had been read; None afterwards."""

    def take(self, publication: Json) -> None:
        """An event of the room."""
        if self.behind is None:
            self._take(publication)
        else:
            self.behind.append(publication)

    def _take(self, publication: Json) -> None:
        event = publication["data"]
        if "offset" not in publication:
            return  # a read mark
        assert publication["offset"] == self.offset + 1, f"{publication['offset']} came behind {self.offset}"
        self.offset += 1
        if "seq" in event:
            self._change(event["type"], event["seq"], event)

    def _change(self, kind: str, seq: int, event: Json) -> None:
        if kind == "message_sent":
            self.said[seq] = Said(event["actor"], event["text"])
        elif kind == "message_edited":
            self.said[seq].text = event["text"]
        elif kind == "message_deleted":
            self.said[seq] = Said(self.said[seq].sender, "", deleted=True)
        elif kind == "reaction_added":
            self.said[seq].reactions.add((event["emoji"], event["actor"]))
        elif kind == "reaction_removed":
            self.said[seq].reactions.discard((event["emoji"], event["actor"]))

    def read(self, messages: list[Json]) -> None:
        """What was there already, as `message.list` gives it: perhaps newer than our position, and then said again."""
        for message in messages:
            reactions = {(emoji, user) for emoji, users in message.get("reactions", {}).items() for user in users}
            deleted = bool(message.get("deleted"))
            self.said[message["seq"]] = Said(message["sender"], message["text"], deleted, reactions)
        behind, self.behind = self.behind or [], None
        for publication in behind:
            self._take(publication)


class Replica:
    """One user's device. Away or connected; its copies outlive a connection, as an application's would."""

    def __init__(self, person: Person) -> None:
        self.user = person.user
        self.rooms: dict[str, Copy] = {}
        self.summaries: dict[str, Json] = {}
        """As of the last snapshot."""
        self.wrong: BaseException | None = None
        self._token = person.token
        self._socket: Socket | None = None
        self._listening: asyncio.Task[None] | None = None
        self._reading: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether it is."""
        return self._socket is not None

    async def connect(self, gateway: str) -> None:
        """Come (back), with the positions it had. A room it had is recovered, whole, unless Redis has lost it since."""
        positions = {
            f"room:{room}": {"recover": True, "epoch": copy.epoch, "offset": copy.offset}
            for room, copy in self.rooms.items()
        }
        self._socket = await patience.let_in(gateway, {"token": self._token, "subs": positions})
        welcome = self._socket.welcome
        self.summaries = {summary["room"]: summary for summary in welcome["data"]["rooms"]}
        self._listening = asyncio.create_task(self._listen(self._socket))
        subs = {name.removeprefix("room:"): sub for name, sub in welcome["subs"].items() if name.startswith("room:")}
        for room in self.rooms.keys() - subs.keys():
            del self.rooms[room]
        for room, sub in subs.items():
            self._enter(room, sub)

    def _enter(self, room: str, sub: Json) -> None:
        copy = self.rooms.get(room)
        if copy is None or sub["epoch"] != copy.epoch:
            assert not sub.get("recovered")
            self._begin(room, sub)
            return
        assert sub.get("recovered"), f"{room} was not recovered from {copy.offset}: {sub.get('offset')}"
        for publication in sub.get("publications", ()):
            copy.take(publication)
        if copy.behind is None:
            assert copy.offset == sub["offset"], f"recovered up to {copy.offset} of {sub['offset']}"

    def _begin(self, room: str, sub: Json) -> None:
        copy = self.rooms[room] = Copy(sub["epoch"], sub["offset"])
        task = asyncio.create_task(self._read(room, copy))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, room: str, copy: Copy) -> None:
        try:
            copy.read((await self.call("message.list", {"room": room, "after": 0, "limit": 200}))["messages"])
        except (Gone, ErrorReply):
            self.rooms.pop(room, None)  # away, or out of it again, before it was read
        self._changed.set()

    async def _listen(self, socket: Socket) -> None:
        try:
            async for push in socket.pushes():
                self._pushed(push)
                self._changed.set()
        except Gone:
            return
        except (AssertionError, KeyError) as error:
            self.wrong = error
            self._changed.set()

    def _pushed(self, push: Json) -> None:
        channel, _, room = push.get("channel", "").partition(":")
        if channel != "room":
            return
        if "subscribe" in push:
            self._begin(room, push["subscribe"])
        elif "unsubscribe" in push:
            self.rooms.pop(room, None)
        elif "pub" in push and room in self.rooms:
            self.rooms[room].take(push["pub"])

    async def disconnect(self) -> None:
        """Go away without a word."""
        if self._listening is not None and self._socket is not None:
            await asyncio.gather(*self._reading)  # or it would come back to a room of which it knows half
            self._listening.cancel()
            await self._socket.close()
        self._socket = self._listening = None

    async def call(self, method: str, data: Json) -> Json:
        """Call a method, again while it fails for the moment. Raises ErrorReply."""
        assert self._socket is not None
        return await patience.call(self._socket, method, data)

    async def reach(self, room: str, offset: int) -> Copy:
        """The copy of a room once it is so far. Raises what went wrong in listening."""
        async with asyncio.timeout(WITHIN):
            while not self._has(room, offset):
                if self.wrong is not None:
                    raise self.wrong
                self._changed.clear()
                await self._changed.wait()
        return self.rooms[room]

    def _has(self, room: str, offset: int) -> bool:
        copy = self.rooms.get(room)
        return copy is not None and copy.behind is None and copy.offset >= offset

    async def gone_from(self, room: str) -> None:
        """Once it is in that room no more."""
        async with asyncio.timeout(WITHIN):
            while room in self.rooms:
                self._changed.clear()
                await self._changed.wait()

"""Which rooms and users this gateway wants to hear of; what the registry has to write and remove.

Interest is removed only when nothing here needs it any more *and* every opening that was under way at that moment has
ended; and only up to the token that was the highest then, so that a younger opening's interest stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, TypeVar

from pulsar_data.model import RoomId, UserId
from socket_gateway.backlog import Backlog
from socket_gateway.hub import Hub

BATCH: Final = 5000
Key = TypeVar("Key", RoomId, UserId)
Position = tuple[int, int]


class Interest:
    """The hub tells what became idle, the registry asks what to do. One thread: the event loop's."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self.hub: Hub = Hub(backlog, self)
        self._idle_rooms: dict[RoomId, int] = {}
        self._idle_users: dict[UserId, int] = {}
        self._wanted: dict[RoomId, None] = {}
        self._behind: dict[RoomId, Position] = {}
        self._wake = asyncio.Event()

    @property
    def token(self) -> int:
        """The highest interest token issued."""
        return self._backlog.token

    def room_idle(self, room: RoomId) -> None:
        """See hub.Idle."""
        self._idle_rooms[room] = self._backlog.token

    def user_idle(self, user: UserId) -> None:
        """See hub.Idle."""
        self._idle_users[user] = self._backlog.token

    def left_unopened(self, room: RoomId) -> None:
        """An opening of a room is over; archive may have noted our interest although nobody joined."""
        if room not in self.hub.rooms():
            self.room_idle(room)

    def want(self, room: RoomId) -> None:
        """Write our interest in a room at once: the router's own note of it may have been removed meanwhile."""
        self._wanted[room] = None
        self._wake.set()

    async def wait(self, timeout: float) -> None:
        """Until something is wanted, at most `timeout` seconds."""
        try:
            await asyncio.wait_for(self._wake.wait(), timeout)
        except TimeoutError:
            return
        self._wake.clear()

    def wanted(self) -> list[RoomId]:
        """Rooms to write interest for now."""
        rooms, self._wanted = self._wanted, {}
        return [room for room in rooms if room in self.hub.rooms()]

    def unneeded(self) -> tuple[list[tuple[RoomId, int]], list[tuple[UserId, int]]]:
        """Rooms and users to remove interest for, each with the highest token that may be removed."""
        rooms = [(r, t) for r, t in self._ripe(self._idle_rooms) if r not in self.hub.rooms()]
        users = [(u, t) for u, t in self._ripe(self._idle_users) if not self.hub.has_user(u)]
        return rooms, users

    def _ripe(self, idle: dict[Key, int]) -> list[tuple[Key, int]]:
        oldest = self._backlog.oldest
        ripe = [(key, token) for key, token in idle.items() if oldest is None or token < oldest][:BATCH]
        for key, _ in ripe:
            del idle[key]
        return ripe

    def held(self) -> list[RoomId]:
        """Rooms with members here."""
        return list(self.hub.rooms())

    def compare(self, heads: Iterable[tuple[RoomId, int, int]]) -> None:
        """Visible heads (room, epoch, offset) from Redis against what was pushed here.

        Behind twice running: the last event was lost, which leaves no hole to see. A higher epoch: the room was
        rebuilt. Either way its members must come back.
        """
        for room, epoch, offset in heads:
            here = self.hub.rooms().get(room)
            before = self._behind.pop(room, None)
            if here is None or (here.epoch, here.offset) >= (epoch, offset):
                continue
            if epoch > here.epoch or (before is not None and (here.epoch, here.offset) < before):
                self.hub.fail(room)
            else:
                self._behind[room] = (epoch, offset)

    def lost(self) -> None:
        """Redis has lost its data: everybody must come back."""
        self._behind.clear()
        self.hub.fail_all()

"""Which rooms and users this gateway wants to hear of; what the registry has to write and remove.

Interest is removed only when nothing here needs it any more *and* every opening that was under way at that moment has
ended; and only up to the token that was the highest then, so that a younger opening's interest stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from pulsar_data.model import RoomId, UserId
from socket_gateway.backlog import Backlog, Kept
from socket_gateway.hub import Hub

BATCH: Final = 5000
Key = TypeVar("Key", RoomId, UserId)


@dataclass(frozen=True, slots=True)
class RedisHead:
    """How far a room is in Redis, and what of it was missing here, in order; empty if Redis does not have it all."""

    room: RoomId
    epoch: int
    offset: int
    missed: Sequence[Kept] = ()


class Interest:
    """The hub tells what became idle, the registry asks what to do. One thread: the event loop's."""

    def __init__(self, backlog: Backlog, on_loss: Callable[[], None] = lambda: None) -> None:
        """`on_loss` is called when Redis has lost its data."""
        self._backlog = backlog
        self._on_loss = on_loss
        self.hub: Hub = Hub(backlog, self)
        self._idle_rooms: dict[RoomId, int] = {}
        self._idle_users: dict[UserId, int] = {}
        self._wanted: dict[RoomId, None] = {}
        self._behind: dict[RoomId, int] = {}
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

    def room_behind(self, room: RoomId) -> None:
        """See hub.Idle."""
        self.want(room)

    def left_unopened(self, room: RoomId) -> None:
        """An opening of a room is over; archive may have noted our interest although nobody joined."""
        if room not in self.hub.rooms():
            self.room_idle(room)

    def want(self, *rooms: RoomId) -> None:
        """Write our interest in rooms at once, and catch up: the router's note of it may have been removed."""
        self._wanted.update(dict.fromkeys(rooms))
        self._wake.set()

    async def wait(self, timeout: float) -> None:
        """Until something is wanted, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):  # wait_for of Python 3.11 may swallow a cancellation
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def wanted(self) -> list[RoomId]:
        """Rooms to write interest for now. What that fails for must be put back."""
        rooms, self._wanted = self._wanted, {}
        return [room for room in rooms if room in self.hub.rooms()]

    def put_back(self, rooms: Iterable[RoomId]) -> None:
        """They are still wanted."""
        self._wanted.update(dict.fromkeys(rooms))

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

    def compare(self, heads: Iterable[RedisHead]) -> None:
        """Visible heads in Redis against what was pushed here. What is missing here is pushed, where Redis has it.

        So a *last* event that was lost, which leaves no hole to see, comes after all. A room that cannot be caught up
        with is behind what Redis keeps: if it is so twice running, its members must come back.
        """
        for head in heads:
            before = self._behind.pop(head.room, None)
            if self.hub.catch_up(head.room, head.epoch, head.offset, head.missed):
                continue
            here = self.hub.rooms().get(head.room)
            if not head.epoch:
                self.put_back([head.room])
            elif here is not None and before is not None and here.offset < before:
                self.hub.fail(head.room)
            else:
                self._behind[head.room] = head.offset

    def lost(self) -> None:
        """Redis has lost its data: write our interest again at once, and catch up. Openings must be tried again."""
        self._behind.clear()
        self._backlog.fail_all()
        self.want(*self.hub.rooms())
        self._on_loss()

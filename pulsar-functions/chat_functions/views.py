"""Rooms as one member sees them now. Rooms that Redis has lost are rebuilt meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from redis.asyncio.client import Pipeline

from chat_functions.numbering import OPEN_ROOM
from chat_functions.producers import Outgoing, TopicProducer
from chat_functions.redis_link import RedisLink, call
from chat_functions.rooms import View, read_view
from pulsar_data import redis_keys
from pulsar_data.commands import RebuildRoom
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.ids import SYSTEM
from pulsar_data.model import RoomId, UserId
from pulsar_data.queries import Position

Interest = tuple[str, int]
"""Gateway id and token."""
ALONG = 1024 * 1024
"""Bytes missed in all rooms asked for that may come along with them, shared out evenly."""
ALONG_AT_LEAST = 32 * 1024
"""Of one room, however many they are."""
_POLL = 0.02


class Views:
    """Reads rooms. Only ask for rooms that exist, say from a user's inbox: a lost one costs a marker in its log."""

    def __init__(self, redis: RedisLink, commands: TopicProducer) -> None:
        self._redis = redis
        self._commands = commands

    async def read(
        self,
        rooms: Sequence[RoomId],
        user: UserId,
        deadline: int,
        positions: Mapping[RoomId, Position] | None = None,
        interest: Interest | None = None,
        *,
        guests: bool = False,
    ) -> list[View | None]:
        """Each room, in order; None where the user is no member. With `interest` its gateway gets what comes next.

        With `guests` a channel is shown to everybody who is not banned from it, and every room to the system.
        Raises ChatError 100 (temporary) when a rebuild takes longer than `deadline` (ms), RedisUnavailable.
        """
        views: dict[RoomId, View | None] = {}
        lost = await self._read(rooms, user, positions or {}, interest, views, guests=guests)
        if lost:
            await self._commands.publish([Outgoing(room, RebuildRoom(room=room).to_json()) for room in lost])
        while lost:
            if time.time_ns() // 1_000_000 > deadline:
                raise ChatError(ErrorCode.INTERNAL, f"{len(lost)} rooms are being rebuilt")
            await asyncio.sleep(_POLL)
            lost = await self._read(lost, user, positions or {}, interest, views, guests=guests)
        return [views[room] for room in rooms]

    async def _read(
        self,
        rooms: Sequence[RoomId],
        user: UserId,
        positions: Mapping[RoomId, Position],
        interest: Interest | None,
        views: dict[RoomId, View | None],
        *,
        guests: bool,
    ) -> list[RoomId]:
        """Adds to `views` what can be read; returns the rooms that Redis has lost."""
        if not rooms:
            return []
        answers = await self._redis.execute(
            lambda pipe, run_id: queue_open(pipe, run_id, rooms, user, positions, interest, guests=guests)
        )
        lost = []
        for room, answer in zip(rooms, answers, strict=True):
            if answer[0] == "lost":
                lost.append(room)
            else:
                views[room] = read_view(room, answer) if answer[0] == "open" else None
        return lost


def queue_open(
    pipe: Pipeline,
    run_id: str,
    rooms: Sequence[RoomId],
    user: UserId,
    positions: Mapping[RoomId, Position],
    interest: Interest | None,
    *,
    guests: bool,
) -> None:
    """Queue OPEN_ROOM for each room; `rooms.read_view` reads the answers."""
    gateway, token = interest or ("", "")
    along = max(ALONG_AT_LEAST, ALONG // max(1, len(positions)))
    for room in rooms:
        keys = [
            redis_keys.head(room), redis_keys.members(room), redis_keys.recent(room), redis_keys.interest(room),
            redis_keys.banned(room),
        ]  # fmt: skip
        at = positions.get(room)
        position = [at.epoch, at.offset] if at else ["", ""]
        call(pipe, OPEN_ROOM, keys, [run_id, user, gateway, token, *position, _guest(user) if guests else 0, along])


def _guest(user: UserId) -> int:
    return 2 if user == SYSTEM else 1

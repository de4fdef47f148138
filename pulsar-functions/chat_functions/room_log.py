"""The log of a room as far as it is kept: `room_log` in Cassandra, then the last committed events in Redis.

The newest events may not be stored yet, so both are read and must meet: what is between them is missing, and a reader
is told so instead of being given a part.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

from chat_functions.partitions import buckets, downwards, upwards
from chat_functions.readings import Reading
from chat_functions.redis_link import RedisLink
from chat_functions.tables import Statement, Tables, TablesUnavailable
from pulsar_data import redis_keys
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.events import ROOM_EVENT, RoomEvent
from pulsar_data.model import RoomId

_SPAN = "SELECT offset, event FROM room_log WHERE room_id = ? AND bucket = ? AND offset >= ? AND offset <= ?"
READ_UP = f"{_SPAN} ORDER BY offset ASC LIMIT ?"
READ_DOWN = f"{_SPAN} ORDER BY offset DESC LIMIT ?"
READ_HEAD = "SELECT offset FROM room_heads WHERE room_id = ?"
STATEMENTS = (READ_UP, READ_DOWN, READ_HEAD)

EXPIRING = 60_000
"""ms: what expires so soon may be gone from the log already."""
CHUNK = 500
"""Events read at once."""

Stored = dict[int, str]
"""JSON by offset."""


class RoomLog:
    """Reads ranges of offsets. Raises RedisUnavailable, TablesUnavailable, ChatError."""

    def __init__(self, redis: RedisLink, tables: Tables) -> None:
        self._redis = redis
        self._tables = tables

    async def all(self, room: RoomId, first: int, last: int, limit: int) -> tuple[RoomEvent, ...] | None:
        """Every committed event from offset `first` to `last`, the head or before it, in order.

        None if one is missing, or if they have more than `limit` bytes.
        """
        kept = (await self._redis.execute(lambda pipe, _: pipe.lrange(redis_keys.recent(room), 0, -1)))[0]
        fresh = [event for event in map(ROOM_EVENT.validate_json, kept) if first <= event.offset <= last]
        if fresh and [event.offset for event in fresh] != list(range(last - len(fresh) + 1, last + 1)):
            return None  # not what it was when the head was read: Redis is lost, or older
        until = fresh[0].offset - 1 if fresh else last
        left = limit - sum(len(event.to_json()) for event in fresh)
        stored: list[RoomEvent] = []
        for start, end in _chunks(first, until):
            part = await self._read(room, READ_UP, start, end, CHUNK)
            left -= sum(map(len, part.values()))
            if left < 0 or sorted(part) != list(range(start, end + 1)):
                return None
            stored += [ROOM_EVENT.validate_json(part[offset]) for offset in range(start, end + 1)]
        return (*stored, *fresh) if left >= 0 else None

    async def up(self, room: RoomId, first: int, last: int, limit: int) -> Stored:
        """The oldest so many that are stored, from `first` up to `last`; some more may come along."""
        found: Stored = {}
        for lowest, highest in upwards(first, last):
            found |= await self._read(room, READ_UP, lowest, highest, limit)
            if len(found) >= limit:
                break
        return found

    async def down(self, room: RoomId, first: int, last: int, limit: int) -> Stored:
        """The newest so many that are stored, from `last` down to `first`; some more may come along."""
        found: Stored = {}
        for lowest, highest in downwards(first, last):
            found |= await self._read(room, READ_DOWN, lowest, highest, limit)
            if len(found) >= limit:
                break
        return found

    async def check(self, reading: Reading) -> None:
        """ChatError 100 if message-store has not even come to the oldest event that Redis keeps.

        Then what lies before it is not all stored yet: messages may be missing, or be stored as they were before they
        were edited or deleted. The head tells: it is written behind all that it speaks for, as single rows are not.
        """
        if not reading.events or reading.events[0].offset == 1:
            return
        now = time.time_ns() // 1_000_000
        kept = (event for event in reading.events if event.expires is None or event.expires > now + EXPIRING)
        oldest = next(kept, None)
        if oldest is None:
            return
        head = await self._tables.read(READ_HEAD, [uuid.UUID(reading.room)])
        stored = head[0][0] or 0 if head else 0
        if stored < oldest.offset - 1:
            raise ChatError(ErrorCode.INTERNAL, "message-store lags by more than Redis remembers")

    async def _read(self, room: RoomId, cql: str, first: int, last: int, limit: int) -> Stored:
        await self._tables.connected()
        asked: list[Statement] = [
            self._tables.bind(cql, [uuid.UUID(room), bucket, first, last, limit]) for bucket in buckets(first, last)
        ]
        found: Stored = {}
        for rows in await self._tables.execute(asked):
            if isinstance(rows, TablesUnavailable):
                raise rows
            found.update(_pairs(rows))
        return found


def _pairs(rows: list[tuple[Any, ...]]) -> Iterator[tuple[int, str]]:
    for offset, event in rows:
        yield int(offset), str(event)


def _chunks(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last + 1, CHUNK):
        yield start, min(start + CHUNK - 1, last)

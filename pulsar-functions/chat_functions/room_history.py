"""A client's `history` of a room: the events of its log, forwards or backwards, as far as the log is kept."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable, Iterator

from chat_functions.history import History
from chat_functions.readings import Reading, Readings
from chat_functions.room_log import RoomLog, Stored
from chat_functions.settings import Settings
from chat_functions.tables import Tables
from pulsar_data.config import Live
from pulsar_data.deliveries import HistoryRead
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.events import ROOM_EVENT, MemberJoined, RoomEvent
from pulsar_data.model import UserId
from pulsar_data.queries import ReadHistory

READ_JOINED = "SELECT joined_offset FROM members_by_room WHERE room_id = ? AND user_id = ?"
STATEMENTS = (READ_JOINED,)
CHUNK = 500
"""Events read at once, where those that were asked for may not all be seen."""


class RoomHistory:
    """Raises RedisUnavailable, TablesUnavailable, ChatError."""

    def __init__(
        self, readings: Readings, room_log: RoomLog, history: History, tables: Tables, live: Live[Settings]
    ) -> None:
        self._tables = tables
        self._readings = readings
        self._log = room_log
        self._history = history
        self._live = live

    async def read(self, query: ReadHistory) -> HistoryRead:
        """A page. Events of messages that have expired, or that the reader may not read, are left out.

        ChatError 112 if `since` is a position of another epoch, or of what is not in the log any more.
        """
        reading = await self._readings.open(query.room, query.user, query.deadline)
        _check_position(query, reading)
        events: tuple[RoomEvent, ...] = ()
        if query.limit:
            lowest, _ = await asyncio.gather(self._lowest(reading, query.user), self._log.check(reading))
            found = await (self._back(query, reading, lowest) if query.reverse else self._on(query, reading, lowest))
            events = tuple(self._within_bytes(found))
        return HistoryRead(request=query.request, epoch=reading.epoch, offset=reading.offset, publications=events)

    async def _on(self, query: ReadHistory, reading: Reading, lowest: int) -> list[RoomEvent]:
        """As many as are asked for that may be seen, or all up to the head: an empty page is the end."""
        first = query.since.offset + 1 if query.since else 1
        if query.since is not None and first <= reading.offset and not await self._reaches(first, reading):
            raise ChatError(ErrorCode.UNRECOVERABLE_POSITION, "the log is not kept as far back")
        first, seen, size = max(first, lowest), list[RoomEvent](), query.limit
        while first <= reading.offset and len(seen) < query.limit:
            _check_time(query)
            stored = await self._log.up(reading.room, first, reading.offset, size)
            events = [event for event in _merged(stored, reading) if event.offset >= first][:size]
            seen += _visible(events, lowest, reading.first)
            first, size = events[-1].offset + 1 if events else reading.offset + 1, CHUNK
        return seen[: query.limit]

    async def _back(self, query: ReadHistory, reading: Reading, lowest: int) -> list[RoomEvent]:
        """The same downwards, to the oldest that is kept."""
        last = min(query.since.offset - 1, reading.offset) if query.since else reading.offset
        seen, size = list[RoomEvent](), query.limit
        while last >= lowest and len(seen) < query.limit:
            _check_time(query)
            stored = await self._log.down(reading.room, lowest, last, size)
            events = [event for event in reversed(_merged(stored, reading)) if event.offset <= last][:size]
            seen += _visible(events, lowest, reading.first)
            last, size = events[-1].offset - 1 if events else 0, CHUNK
        return seen[: query.limit]

    async def _reaches(self, first: int, reading: Reading) -> bool:
        """Whether the log still has what came behind a position, but for what has expired by itself.

        It is forgotten from its beginning: what is kept of anything before proves that all behind it was.
        """
        if any(event.offset <= first for event in reading.events):
            return True
        return bool(await self._log.down(reading.room, 1, first, 1))

    async def _lowest(self, reading: Reading, user: UserId) -> int:
        """The lowest offset that the reader may see: that behind the last message before it joined, if that counts.

        If that message has expired, its joining; of who has not joined, nothing.
        """
        before = reading.first - 1
        if not before:
            return 1
        message = (await self._history.some(reading, [before])).get(before)
        return await self._joined(reading, user) if message is None else message.offset + 1

    async def _joined(self, reading: Reading, user: UserId) -> int:
        for event in reversed(reading.events):  # it may not be stored yet
            if isinstance(event, MemberJoined) and event.user == user:
                return event.offset
        rows = await self._tables.read(READ_JOINED, [uuid.UUID(reading.room), uuid.UUID(user)])
        return rows[0][0] if rows and rows[0][0] else reading.offset + 1

    def _within_bytes(self, events: Iterable[RoomEvent]) -> Iterator[RoomEvent]:
        """The first one, and as many more as a delivery can hold: the client asks for more from there."""
        left = self._live.now.recover_bytes
        for place, event in enumerate(events):
            left -= len(event.to_json())
            if place and left < 0:
                return
            yield event


def _check_position(query: ReadHistory, reading: Reading) -> None:
    since = query.since
    if since is None:
        return
    # Without an epoch it is whatever the room has now, as Centrifuge takes it: some page from offset 0 on.
    if since.epoch not in ("", str(reading.epoch)) or since.offset > reading.offset + query.reverse:
        raise ChatError(ErrorCode.UNRECOVERABLE_POSITION, "a position of another epoch")


def _check_time(query: ReadHistory) -> None:
    if time.time_ns() // 1_000_000 > query.deadline:
        raise ChatError(ErrorCode.INTERNAL, "there is more to look through than there was time for")


def _merged(stored: Stored, reading: Reading) -> list[RoomEvent]:
    """Stored and fresh events up to the reader's head, by rising offset."""
    events = {offset: event for offset, event in stored.items() if offset <= reading.offset}
    parsed = {offset: ROOM_EVENT.validate_json(event) for offset, event in events.items()}
    parsed.update((event.offset, event) for event in reading.events)
    return [parsed[offset] for offset in sorted(parsed)]


def _visible(events: Iterable[RoomEvent], lowest: int, first: int) -> Iterator[RoomEvent]:
    """What has not expired, from an offset on, and of no message below `first`: an edit has its text."""
    now = time.time_ns() // 1_000_000
    for event in events:
        seq = getattr(event, "seq", first)
        if event.offset >= lowest and seq >= first and (event.expires is None or event.expires > now):
            yield event

"""Making the index of a room again, from its messages: after the index was lost, or for rooms older than it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from chat_functions.search.terms import Change, Terms
from chat_functions.search.words import words_of
from chat_functions.tables import BUCKET, Tables
from pulsar_data.model import RoomId

_READ_HEAD = "SELECT seq FROM room_heads WHERE room_id = ?"
_READ_TEXTS = (
    "SELECT seq, text, TTL(text), WRITETIME(text), deleted, WRITETIME(deleted) FROM messages"
    " WHERE room_id = ? AND bucket = ? AND seq >= ? AND seq <= ?"
)
STATEMENTS = (_READ_HEAD, _READ_TEXTS)
CHUNK = 500
"""Messages read at once."""


class Reindexing:
    """One room at a time: the index of what is being said comes first."""

    def __init__(self, tables: Tables, terms: Terms) -> None:
        self._tables = tables
        self._terms = terms
        self._turn = asyncio.Lock()

    async def room(self, room: RoomId) -> int:
        """Index every stored message as it is now. Returns how many. Raises TablesUnavailable; then begin again."""
        async with self._turn:
            rows = await self._tables.read(_READ_HEAD, [uuid.UUID(room)])
            count = 0
            for first in range(1, (rows[0][0] or 0) + 1 if rows else 1, CHUNK):
                count += await self._some(room, first, first + CHUNK - 1)
            return count

    async def _some(self, room: RoomId, first: int, last: int) -> int:
        changes: list[Change] = []
        for bucket in range(first // BUCKET, last // BUCKET + 1):
            changes += _changes(room, await self._tables.read(_READ_TEXTS, [uuid.UUID(room), bucket, first, last]))
        await self._terms.replace(changes)
        return len(changes)


def _changes(room: RoomId, rows: Sequence[tuple[Any, ...]]) -> Iterator[Change]:
    """The write time of a cell is the offset of the event that wrote it."""
    for seq, text, ttl, written, deleted, deleted_at in rows:
        if deleted:
            yield Change(room, seq, deleted_at, frozenset(), 0)
        elif text is not None:
            yield Change(room, seq, written, words_of(text).indexed, ttl or 0)

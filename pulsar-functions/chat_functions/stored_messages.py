"""Messages as Cassandra has them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import from_json

from chat_functions.overlay import Messages, in_order, tombstone
from chat_functions.partitions import buckets, downwards, upwards
from chat_functions.tables import BUCKET, Statement, Tables, TablesUnavailable
from pulsar_data.model import RoomId, UserId
from pulsar_data.rooms import Message

_COLUMNS = "seq, offset, sender, key, text, time, edited_at, deleted, reply_to, mentions, reactions, meta"
_SPAN = f"SELECT {_COLUMNS} FROM messages WHERE room_id = ? AND bucket = ? AND seq >= ? AND seq <= ?"
READ_DOWN = f"{_SPAN} ORDER BY seq DESC LIMIT ?"
READ_UP = f"{_SPAN} ORDER BY seq ASC LIMIT ?"
READ_SOME = f"SELECT {_COLUMNS} FROM messages WHERE room_id = ? AND bucket = ? AND seq IN ?"
STATEMENTS = (READ_DOWN, READ_UP, READ_SOME)


class StoredMessages:
    """Reads rows; those that are missing are left out. Raises TablesUnavailable."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def down(self, room: RoomId, first: int, last: int, limit: int) -> Messages:
        """The newest so many from `last` down to `first`, both included; some more may come along."""
        found: Messages = {}
        for lowest, highest in downwards(first, last):
            found.update(await self._read(room, _asked(READ_DOWN, lowest, highest, limit)))
            if len(found) >= limit:
                break
        return found

    async def up(self, room: RoomId, first: int, last: int, limit: int) -> Messages:
        """The oldest so many from `first` up to `last`, both included; some more may come along."""
        found: Messages = {}
        for lowest, highest in upwards(first, last):
            found.update(await self._read(room, _asked(READ_UP, lowest, highest, limit)))
            if len(found) >= limit:
                break
        return found

    async def some(self, room: RoomId, seqs: Iterable[int]) -> Messages:
        """Messages of these seq: a hundred or so, not more."""
        by_bucket: dict[int, list[int]] = {}
        for seq in seqs:
            by_bucket.setdefault(seq // BUCKET, []).append(seq)
        return await self._read(room, [(READ_SOME, [bucket, some]) for bucket, some in by_bucket.items()])

    async def _read(self, room: RoomId, asked: Sequence[tuple[str, list[Any]]]) -> Messages:
        await self._tables.connected()
        room_id = uuid.UUID(room)
        statements: list[Statement] = [self._tables.bind(cql, [room_id, *values]) for cql, values in asked]
        stored: Messages = {}
        for rows in await self._tables.execute(statements):
            if isinstance(rows, TablesUnavailable):
                raise rows
            stored.update((row[0], _message(room, row)) for row in rows if row[2] is not None)
        return stored


def _asked(cql: str, first: int, last: int, limit: int) -> list[tuple[str, list[Any]]]:
    """A question for each partition between these seq."""
    return [(cql, [bucket, first, last, limit]) for bucket in buckets(first, last)]


def _message(room: RoomId, row: Sequence[Any]) -> Message:
    """Of a row with a sender: one without is what a late reaction left of a message that has expired."""
    seq, offset, sender, key, text, at, edited, deleted, reply_to, mentions, reactions, meta = row
    message = Message.model_validate(
        {
            "room": room, "seq": seq, "offset": offset, "sender": str(sender), "key": str(key), "text": text or "",
            "time": at, "edited_at": edited, "reply_to": reply_to,
            "mentions": tuple(str(user) for user in mentions or ()),
            "reactions": _by_emoji(reactions or ()),
            "meta": from_json(meta) if meta is not None else None,
        }
    )  # fmt: skip
    return tombstone(message) if deleted else message


def _by_emoji(pairs: Iterable[tuple[str, uuid.UUID]]) -> dict[str, tuple[UserId, ...]]:
    users: dict[str, list[UserId]] = {}
    for emoji, user in pairs:
        users.setdefault(emoji, []).append(UserId(str(user)))
    return in_order(users)

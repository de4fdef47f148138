"""The rows of an event, packed into few batches, all under TIMESTAMP <offset>."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cassandra.query import UNSET_VALUE, BoundStatement
from pydantic_core import to_json

from chat_functions import rooms
from chat_functions.encoding import as_bigint, as_int, as_uuid, as_uuids
from chat_functions.settings import Settings
from chat_functions.tables import BUCKET, KEY_BUCKET, Tables, TablesUnavailable, batch
from pulsar_data import ids
from pulsar_data.events import MemberJoined, MessageSent, RoomCreated, RoomEvent
from pulsar_data.model import RoomId

log = logging.getLogger(__name__)

READ_EPOCH = "SELECT epoch, offset, seq FROM room_heads WHERE room_id = ?"
MARK_HEAD = "INSERT INTO room_heads (room_id, offset, seq, epoch) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
MARK_ABSENT = "INSERT INTO room_heads (room_id, offset, seq, epoch) VALUES (?, ?, ?, ?) USING TIMESTAMP 0 AND TTL 600"
WRITE_MESSAGE = (
    "INSERT INTO messages (room_id, bucket, seq, offset, sender, key, text, time, reply_to, mentions, meta)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
WRITE_LOG = "INSERT INTO room_log (room_id, bucket, offset, event) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
WRITE_KEY = (
    "INSERT INTO message_by_key (room_id, bucket, sender, key, seq, offset, time, digest)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " USING TIMESTAMP ?"
)
WRITE_READ = "INSERT INTO members_by_room (room_id, user_id, read_seq) VALUES (?, ?, ?) USING TIMESTAMP ?"
WRITE_INBOX = "INSERT INTO rooms_by_user (user_id, room_id, role, read_seq) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
WRITE_MEMBER = (
    "INSERT INTO members_by_room (room_id, user_id, role, joined_seq, joined_offset, joined_at)"
    " VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
WRITE_ROOM = (
    "INSERT INTO rooms_by_id (room_id, kind, name, topic, creator, created_at, epoch) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " USING TIMESTAMP ?"
)
STATEMENTS = (
    READ_EPOCH, MARK_HEAD, MARK_ABSENT, WRITE_MESSAGE, WRITE_LOG, WRITE_KEY, WRITE_READ, WRITE_INBOX, WRITE_MEMBER,
    WRITE_ROOM,
)  # fmt: skip

PARTITIONS = 10
"""Partitions that one unlogged batch may touch: what Cassandra takes without a warning, and splits without harm.

One request for each partition costs driver and Cassandra three times as much: a message has rows in three.
"""
MIXED_BYTES = 4000
"""Of a batch that touches more than one partition: Cassandra warns of more than 5 KiB, and refuses 50 KiB."""
ROWS = 100
"""Rows of one batch."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row and its partition. Tables with the same partition key share it: Cassandra writes them as one mutation."""

    room: RoomId
    partition: tuple[str, object]
    statement: BoundStatement

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return sum(len(value) for value in self.statement.values if isinstance(value, bytes))


class Writes:
    """Turns events into rows, packs the rows into batches, and runs those at once."""

    def __init__(self, tables: Tables, settings: Settings) -> None:
        self._tables = tables
        self._log_ttl = settings.log_days * 86_400

    async def store(self, events: Mapping[RoomId, Sequence[RoomEvent]]) -> set[RoomId]:
        """Write all; returns the rooms of which anything failed. They must be written again as a whole.

        Nothing relies on the order of these writes: who needs a room's exact head waits for a marker behind them.
        """
        packs = list(_pack(row for of_room in events.values() if of_room for row in self._rows(of_room)))
        answers = await self._tables.execute([batch([row.statement for row in pack]) for pack in packs])
        failed: set[RoomId] = set()
        for pack, answer in zip(packs, answers, strict=True):
            if isinstance(answer, TablesUnavailable):
                failed |= {row.room for row in pack}
        if failed:
            log.warning("not_stored %d rooms wait", len(failed))
        return failed

    def _rows(self, events: Sequence[RoomEvent]) -> Iterator[_Row]:
        """All rows of one room's events, rows of one partition side by side."""
        for event in events:
            if isinstance(event, MessageSent):
                yield _Row(event.room, ("numbers", event.seq // BUCKET), self._message(event))
        for event in events:
            yield _Row(event.room, ("numbers", event.offset // BUCKET), self._log(event))
        for event in events:
            yield from self._entering(event)
        read = {event.actor: event for event in events if isinstance(event, MessageSent)}  # the last of each sender
        for user, last in read.items():
            values = [as_uuid(last.room), as_uuid(user), as_bigint(last.seq), as_bigint(last.offset)]
            yield _Row(last.room, ("room", 0), self._tables.encoded(WRITE_READ, values))
        yield self._head(events)
        for event in events:
            yield _Row(event.room, ("keys", _key_bucket(event)), self._key(event))

    def _head(self, events: Sequence[RoomEvent]) -> _Row:
        last = max(events, key=lambda event: event.offset)
        seq = max(map(_seq, events))
        numbers = [as_bigint(number) for number in (last.offset, seq, last.epoch, last.offset)]
        return _Row(last.room, ("room", 0), self._tables.encoded(MARK_HEAD, [as_uuid(last.room), *numbers]))

    def _entering(self, event: RoomEvent) -> Iterator[_Row]:
        room, at = uuid.UUID(event.room), event.offset
        if isinstance(event, RoomCreated):
            yield _Row(event.room, ("room", 0), self._room(room, event))
        for user, member in rooms.entering(event):
            values = [room, uuid.UUID(user), member.role, member.joined_seq, at, event.time, at]
            yield _Row(event.room, ("room", 0), self._tables.bind(WRITE_MEMBER, values))
        for user, member in rooms.entering(event):
            values = [uuid.UUID(user), room, member.role, member.read_seq, at]
            yield _Row(event.room, ("inbox", user), self._tables.bind(WRITE_INBOX, values))

    def _message(self, event: MessageSent) -> BoundStatement:
        values: list[Any] = [
            as_uuid(event.room), as_bigint(event.seq // BUCKET), as_bigint(event.seq), as_bigint(event.offset),
            as_uuid(event.actor), as_uuid(event.key), event.text.encode(), as_bigint(event.time),
            UNSET_VALUE if event.reply_to is None else as_bigint(event.reply_to),
            as_uuids(event.mentions) if event.mentions else UNSET_VALUE,
            UNSET_VALUE if event.meta is None else to_json(event.meta), as_bigint(event.offset),
        ]  # fmt: skip
        return self._tables.encoded(WRITE_MESSAGE, values)

    def _log(self, event: RoomEvent) -> BoundStatement:
        offset = as_bigint(event.offset)
        values = [
            as_uuid(event.room), as_bigint(event.offset // BUCKET), offset, event.to_json(), offset,
            as_int(self._log_ttl),
        ]  # fmt: skip
        return self._tables.encoded(WRITE_LOG, values)

    def _key(self, event: RoomEvent) -> BoundStatement:
        offset = as_bigint(event.offset)
        values = [
            as_uuid(event.room), as_bigint(_key_bucket(event)), as_uuid(event.actor), as_uuid(event.key),
            as_bigint(_seq(event)), offset, as_bigint(event.time), event.digest.encode(), offset,
        ]  # fmt: skip
        return self._tables.encoded(WRITE_KEY, values)

    def _room(self, room_id: uuid.UUID, event: RoomCreated) -> BoundStatement:
        row: list[Any] = [
            room_id, event.kind, _or_unset(event.name), _or_unset(event.topic), uuid.UUID(event.actor), event.time,
            event.epoch, event.offset,
        ]  # fmt: skip
        return self._tables.bind(WRITE_ROOM, row)


def _pack(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Rows that go together, in order: as many as the limits allow, and always one."""
    pack: list[_Row] = []
    partitions: set[tuple[RoomId, tuple[str, object]]] = set()
    size = 0
    for row in rows:
        together = partitions | {(row.room, row.partition)}
        full = len(pack) == ROWS or len(together) > PARTITIONS
        if pack and (full or (len(together) > 1 and size + row.size > MIXED_BYTES)):
            yield pack
            pack, together, size = [], {(row.room, row.partition)}, 0
        pack.append(row)
        partitions, size = together, size + row.size
    if pack:
        yield pack


def _key_bucket(event: RoomEvent) -> int:
    return ids.key_time(event.key) // KEY_BUCKET


def _seq(event: RoomEvent) -> int:
    """The room's seq once this event has happened, as far as the event tells."""
    if isinstance(event, MessageSent):
        return event.seq
    return event.joined_seq if isinstance(event, MemberJoined) else 0


def _or_unset(value: Any) -> Any:
    return UNSET_VALUE if value is None else value

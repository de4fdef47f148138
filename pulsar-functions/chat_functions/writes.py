"""The rows of an event: statements per room, batched per partition, all under TIMESTAMP <offset>."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from cassandra.query import UNSET_VALUE, BoundStatement
from pydantic_core import to_json

from chat_functions import rooms
from chat_functions.settings import Settings
from chat_functions.tables import BUCKET, Statement, Tables, TablesUnavailable, batch
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
    "INSERT INTO message_by_key (room_id, sender, key, seq, offset, time, digest) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " USING TIMESTAMP ?"
)
WRITE_READ = "INSERT INTO rooms_by_user (user_id, room_id, read_seq) VALUES (?, ?, ?) USING TIMESTAMP ?"
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

_MIXED = 10
"""Statements of different partitions that go together: what Cassandra takes without a warning. One by one they cost the
driver four times as much; a coordinator splits so few without harm."""
_ROWS = 100
"""Statements of one partition that go together."""


class Writes:
    """Turns events into statements and runs them."""

    def __init__(self, tables: Tables, settings: Settings) -> None:
        self._tables = tables
        self._log_ttl = settings.log_days * 86_400

    async def store(self, events: dict[RoomId, list[RoomEvent]]) -> set[RoomId]:
        """Write all; returns the rooms of which anything failed. They must be written again as a whole."""
        statements: list[Statement] = []
        owners: list[frozenset[RoomId]] = []
        mixed: list[tuple[RoomId, BoundStatement]] = []
        for room, of_room in events.items():
            for together in self._partitions(room, of_room):
                statements.append(together)
                owners.append(frozenset((room,)))
            mixed += [(room, statement) for statement in self._scattered(room, of_room)]
        for some in _chunks(mixed, _MIXED):
            statements.append(batch([statement for _, statement in some]))
            owners.append(frozenset(room for room, _ in some))
        failed: set[RoomId] = set()
        for answer, rooms_of in zip(await self._tables.execute(statements), owners, strict=True):
            if isinstance(answer, TablesUnavailable):
                log.warning("not_stored %d rooms wait: %s", len(rooms_of), answer)
                failed |= rooms_of
        whole = {room: of_room for room, of_room in events.items() if room not in failed}
        return failed | await self._heads(whole)

    async def _heads(self, events: dict[RoomId, list[RoomEvent]]) -> set[RoomId]:
        """Heads last: a head says that everything up to it is stored."""
        last = [max(of_room, key=lambda event: event.offset) for of_room in events.values() if of_room]
        statements = []
        for event in last:
            seq = max(_seq(one) for one in events[event.room])
            statements.append(
                self._tables.bind(MARK_HEAD, [uuid.UUID(event.room), event.offset, seq, event.epoch, event.offset])
            )
        answers = await self._tables.execute(statements)
        return {
            event.room for event, answer in zip(last, answers, strict=True) if isinstance(answer, TablesUnavailable)
        }

    def _partitions(self, room: RoomId, events: Sequence[RoomEvent]) -> Iterable[Statement]:
        """Per partition of messages, room_log and members one batch (or a few)."""
        room_id = uuid.UUID(room)
        partitions: dict[tuple[str, int], list[BoundStatement]] = {}
        for event in events:
            partitions.setdefault(("log", event.offset // BUCKET), []).append(self._log(room_id, event))
            if isinstance(event, MessageSent):
                partitions.setdefault(("messages", event.seq // BUCKET), []).append(self._message(room_id, event))
            for user, member in rooms.entering(event):
                row = [room_id, uuid.UUID(user), member.role, member.joined_seq, event.offset, event.time, event.offset]
                partitions.setdefault(("members", 0), []).append(self._tables.bind(WRITE_MEMBER, row))
            if isinstance(event, RoomCreated):
                partitions[("room", 0)] = [self._room(room_id, event)]
        for statements in partitions.values():
            for some in _chunks(statements, _ROWS):
                yield batch(some)

    def _scattered(self, room: RoomId, events: Sequence[RoomEvent]) -> Iterable[BoundStatement]:
        """Rows that each are a partition: keys, and the last read mark of each sender."""
        room_id = uuid.UUID(room)
        read: dict[str, MessageSent] = {}
        for event in events:
            yield self._key(room_id, event)
            if isinstance(event, MessageSent) and (event.actor not in read or event.seq > read[event.actor].seq):
                read[event.actor] = event
            for user, member in rooms.entering(event):
                row = [uuid.UUID(user), room_id, member.role, member.read_seq, event.offset]
                yield self._tables.bind(WRITE_INBOX, row)
        for user_id, last in read.items():
            yield self._tables.bind(WRITE_READ, [uuid.UUID(user_id), room_id, last.seq, last.offset])

    def _message(self, room_id: uuid.UUID, event: MessageSent) -> BoundStatement:
        row: list[Any] = [
            room_id, event.seq // BUCKET, event.seq, event.offset, uuid.UUID(event.actor), uuid.UUID(event.key),
            event.text, event.time, _or_unset(event.reply_to),
            [uuid.UUID(user) for user in event.mentions] if event.mentions else UNSET_VALUE,
            UNSET_VALUE if event.meta is None else to_json(event.meta).decode(), event.offset,
        ]  # fmt: skip
        return self._tables.bind(WRITE_MESSAGE, row)

    def _log(self, room_id: uuid.UUID, event: RoomEvent) -> BoundStatement:
        row = [room_id, event.offset // BUCKET, event.offset, event.to_json().decode(), event.offset, self._log_ttl]
        return self._tables.bind(WRITE_LOG, row)

    def _key(self, room_id: uuid.UUID, event: RoomEvent) -> BoundStatement:
        row = [
            room_id, uuid.UUID(event.actor), uuid.UUID(event.key), _seq(event), event.offset, event.time, event.digest,
            event.offset,
        ]  # fmt: skip
        return self._tables.bind(WRITE_KEY, row)

    def _room(self, room_id: uuid.UUID, event: RoomCreated) -> BoundStatement:
        row: list[Any] = [
            room_id, event.kind, _or_unset(event.name), _or_unset(event.topic), uuid.UUID(event.actor), event.time,
            event.epoch, event.offset,
        ]  # fmt: skip
        return self._tables.bind(WRITE_ROOM, row)


def _seq(event: RoomEvent) -> int:
    """The room's seq once this event has happened, as far as the event tells."""
    if isinstance(event, MessageSent):
        return event.seq
    return event.joined_seq if isinstance(event, MemberJoined) else 0


def _or_unset(value: Any) -> Any:
    return UNSET_VALUE if value is None else value


T = TypeVar("T")


def _chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

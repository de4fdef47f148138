"""Which rows an event is, in which partition, each under TIMESTAMP <offset>: so events commute, repeats change nothing.

What an event takes away is deleted under its offset too: what comes later with a higher offset counts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cassandra.query import UNSET_VALUE, BoundStatement
from pydantic_core import to_json

from chat_functions.changes import entering
from chat_functions.encoding import as_bigint, as_int, as_uuid, as_uuids
from chat_functions.settings import Settings
from chat_functions.tables import BUCKET, KEY_BUCKET, Tables
from pulsar_data import ids
from pulsar_data.config import Live
from pulsar_data.events import (
    MemberBanned,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    MemberRoleChanged,
    MessageDeleted,
    MessageEdited,
    MessageRead,
    MessageSent,
    ReactionAdded,
    ReactionRemoved,
    RoomCreated,
    RoomEvent,
    RoomUpdated,
)
from pulsar_data.model import RoomId, UserId

_MESSAGE = "WHERE room_id = ? AND bucket = ? AND seq = ?"
_MEMBER = "WHERE room_id = ? AND user_id = ?"
_INBOX = "WHERE user_id = ? AND room_id = ?"
WRITE_HEAD = "INSERT INTO room_heads (room_id, offset, seq, epoch) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
WRITE_SEQ = "INSERT INTO room_heads (room_id, seq) VALUES (?, ?) USING TIMESTAMP ?"
WRITE_MESSAGE = (
    "INSERT INTO messages (room_id, bucket, seq, offset, sender, key, text, time, reply_to, mentions, meta)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
)
EDIT_MESSAGE = (
    f"UPDATE messages USING TIMESTAMP ? AND TTL ? SET text = ?, edited_at = ?, mentions = ?, meta = ? {_MESSAGE}"
)
BURY_MESSAGE = f"UPDATE messages USING TIMESTAMP ? AND TTL ? SET text = '', deleted = true {_MESSAGE}"
EMPTY_MESSAGE = f"DELETE mentions, meta, reactions FROM messages USING TIMESTAMP ? {_MESSAGE}"
ADD_REACTION = f"UPDATE messages USING TIMESTAMP ? AND TTL ? SET reactions = reactions + ? {_MESSAGE}"
REMOVE_REACTION = f"UPDATE messages USING TIMESTAMP ? AND TTL ? SET reactions = reactions - ? {_MESSAGE}"
WRITE_LOG = "INSERT INTO room_log (room_id, bucket, offset, event) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
WRITE_KEY = (
    "INSERT INTO message_by_key (room_id, bucket, sender, key, seq, offset, time, digest)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " USING TIMESTAMP ?"
)
WRITE_READ = "INSERT INTO members_by_room (room_id, user_id, read_seq) VALUES (?, ?, ?) USING TIMESTAMP ?"
WRITE_INBOX = "INSERT INTO rooms_by_user (user_id, room_id, role, read_seq) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
WRITE_INBOX_ROLE = f"UPDATE rooms_by_user USING TIMESTAMP ? SET role = ? {_INBOX}"
CLEAR_INBOX = f"DELETE FROM rooms_by_user USING TIMESTAMP ? {_INBOX}"
WRITE_MEMBER = (
    "INSERT INTO members_by_room (room_id, user_id, role, joined_seq, joined_offset, joined_at)"
    " VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
WRITE_ROLE = f"UPDATE members_by_room USING TIMESTAMP ? SET role = ? {_MEMBER}"
WRITE_MUTE = f"UPDATE members_by_room USING TIMESTAMP ? SET muted_until = ? {_MEMBER}"
REMOVE_MEMBER = f"DELETE FROM members_by_room USING TIMESTAMP ? {_MEMBER}"
STRIP_MEMBER = (
    "DELETE role, joined_seq, joined_offset, joined_at, muted_until, read_seq FROM members_by_room"
    f" USING TIMESTAMP ? {_MEMBER}"
)
WRITE_BAN = f"UPDATE members_by_room USING TIMESTAMP ? SET banned = true {_MEMBER}"
WRITE_ROOM = (
    "INSERT INTO rooms_by_id (room_id, kind, name, topic, history, creator, created_at, epoch)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
UPDATE_ROOM = (
    "INSERT INTO rooms_by_id (room_id, name, topic, presence, retention_days, history) VALUES (?, ?, ?, ?, ?, ?)"
    " USING TIMESTAMP ?"
)
STATEMENTS = (
    WRITE_HEAD, WRITE_SEQ, WRITE_MESSAGE, EDIT_MESSAGE, BURY_MESSAGE, EMPTY_MESSAGE, ADD_REACTION, REMOVE_REACTION,
    WRITE_LOG, WRITE_KEY, WRITE_READ, WRITE_INBOX, WRITE_INBOX_ROLE, CLEAR_INBOX, WRITE_MEMBER, WRITE_ROLE, WRITE_MUTE,
    REMOVE_MEMBER, STRIP_MEMBER, WRITE_BAN, WRITE_ROOM, UPDATE_ROOM,
)  # fmt: skip
ROOM = ("room", 0)
"""The partition of what a room has once."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row and its partition. Tables with the same partition key share it: Cassandra writes them as one mutation."""

    room: RoomId
    partition: tuple[str, object]
    statement: BoundStatement

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return sum(len(value) for value in self.statement.values if isinstance(value, bytes))


class Rows:
    """Makes the rows of one room's events. Needs a connection: raises TablesUnavailable."""

    def __init__(self, tables: Tables, live: Live[Settings]) -> None:
        self._tables = tables
        self._live = live

    def of_room(self, events: Sequence[RoomEvent], marks: Sequence[MessageRead]) -> Iterator[Row]:
        """All but its head, rows of one partition side by side."""
        others = [event for event in events if not isinstance(event, MessageSent)]
        for event in events:
            seq = _changed_seq(event)
            if seq is not None:
                for statement in self._message(event):
                    yield Row(event.room, ("numbers", seq // BUCKET), statement)
        for event in events:
            yield Row(event.room, ("numbers", event.offset // BUCKET), self._log(event))
        for event in others:
            for statement in self._room(event):
                yield Row(event.room, ROOM, statement)
        yield from self._read(events, marks)
        for event in events:
            yield Row(event.room, ("keys", _key_bucket(event)), self._key(event))
        for event in others:
            yield from self._inboxes(event)

    def _message(self, event: RoomEvent) -> Iterator[BoundStatement]:
        bind, at = self._tables.bind, event.offset
        match event:
            case MessageSent():
                yield self._sent(event)
            case MessageEdited():
                mentions = UNSET_VALUE if event.mentions is None else [uuid.UUID(user) for user in event.mentions]
                meta = UNSET_VALUE if event.meta is None else to_json(event.meta).decode()
                yield bind(EDIT_MESSAGE, [at, _ttl(event), event.text, event.time, mentions, meta, *_place(event)])
            case MessageDeleted():
                yield bind(BURY_MESSAGE, [at, _ttl(event), *_place(event)])
                yield bind(EMPTY_MESSAGE, [at, *_place(event)])
            case ReactionAdded() | ReactionRemoved():
                cql = ADD_REACTION if isinstance(event, ReactionAdded) else REMOVE_REACTION
                yield bind(cql, [at, _ttl(event), {(event.emoji, uuid.UUID(event.actor))}, *_place(event)])

    def _sent(self, event: MessageSent) -> BoundStatement:
        values: list[Any] = [
            as_uuid(event.room), as_bigint(event.seq // BUCKET), as_bigint(event.seq), as_bigint(event.offset),
            as_uuid(event.actor), as_uuid(event.key), event.text.encode(), as_bigint(event.time),
            UNSET_VALUE if event.reply_to is None else as_bigint(event.reply_to),
            as_uuids(event.mentions) if event.mentions else UNSET_VALUE,
            UNSET_VALUE if event.meta is None else to_json(event.meta),
            as_bigint(event.offset), as_int(_ttl(event)),
        ]  # fmt: skip
        return self._tables.encoded(WRITE_MESSAGE, values)

    def _log(self, event: RoomEvent) -> BoundStatement:
        longest = self._live.now.log_days * 86_400
        offset, ttl = as_bigint(event.offset), min(_ttl(event) or longest, longest)
        values = [
            as_uuid(event.room), as_bigint(event.offset // BUCKET), offset, event.to_json(), offset, as_int(ttl)
        ]  # fmt: skip
        return self._tables.encoded(WRITE_LOG, values)

    def _room(self, event: RoomEvent) -> Iterator[BoundStatement]:
        bind, room, at = self._tables.bind, uuid.UUID(event.room), event.offset
        for user, member in entering(event):
            yield bind(
                WRITE_MEMBER, [room, uuid.UUID(user), member.role, member.joined_seq, at, event.time, at]
            )  # fmt: skip
        match event:
            case RoomCreated():
                facts = [event.kind, *map(_or_unset, (event.name, event.topic, event.history))]
                yield bind(WRITE_ROOM, [room, *facts, uuid.UUID(event.actor), event.time, event.epoch, at])
            case RoomUpdated():
                facts = [event.name, event.topic, event.presence, event.retention_days, event.history]
                yield bind(UPDATE_ROOM, [room, *map(_or_unset, facts), at])
            case MemberLeft():
                yield bind(REMOVE_MEMBER, [at, room, uuid.UUID(event.user)])
            case MemberRoleChanged():
                yield bind(WRITE_ROLE, [at, event.role, room, uuid.UUID(event.user)])
            case MemberMuted():
                yield bind(WRITE_MUTE, [at, event.until, room, uuid.UUID(event.user)])
            case MemberBanned():
                yield from self._ban(event)

    def _ban(self, event: MemberBanned) -> Iterator[BoundStatement]:
        member = [event.offset, uuid.UUID(event.room), uuid.UUID(event.user)]
        if event.banned:  # not the whole row: its deletion would win over the ban, which has the same timestamp
            yield self._tables.bind(STRIP_MEMBER, member)
            yield self._tables.bind(WRITE_BAN, member)
        else:
            yield self._tables.bind(REMOVE_MEMBER, member)

    def _read(self, events: Sequence[RoomEvent], marks: Sequence[MessageRead]) -> Iterator[Row]:
        """The highest mark of each reader; a message is read by its sender.

        A mark is written under the room's head when it was read. Of two under one head the higher one counts, as
        Cassandra takes the greater of two values with one timestamp.
        """
        sent = (event for event in events if isinstance(event, MessageSent) and event.actor != ids.SYSTEM)
        read = {(event.room, event.actor): (event.seq, event.offset) for event in sent}
        for mark in marks:
            reader = (mark.room, mark.actor)
            read[reader] = max(read.get(reader, (0, 0)), (mark.seq, mark.head))
        for (room, user), (seq, at) in read.items():
            values = [as_uuid(room), as_uuid(user), as_bigint(seq), as_bigint(at)]
            yield Row(room, ROOM, self._tables.encoded(WRITE_READ, values))

    def head(self, events: Sequence[RoomEvent]) -> Iterator[Row]:
        """How far the room is stored; its seq under the offset of an event that tells it, as most do not."""
        if not events:
            return
        last = max(events, key=lambda event: event.offset)
        telling = max((event for event in events if _seq(event) is not None), key=_offset, default=None)
        seq = UNSET_VALUE if telling is not last or telling is None else as_bigint(_seq(telling) or 0)
        room, at = as_uuid(last.room), as_bigint(last.offset)
        yield Row(last.room, ROOM, self._tables.encoded(WRITE_HEAD, [room, at, seq, as_bigint(last.epoch), at]))
        if telling is not None and telling is not last:
            values = [room, as_bigint(_seq(telling) or 0), as_bigint(telling.offset)]
            yield Row(last.room, ROOM, self._tables.encoded(WRITE_SEQ, values))

    def _key(self, event: RoomEvent) -> BoundStatement:
        offset = as_bigint(event.offset)
        values = [
            as_uuid(event.room), as_bigint(_key_bucket(event)), as_uuid(event.actor), as_uuid(event.key),
            as_bigint(_seq(event) or 0), offset, as_bigint(event.time), event.digest.encode(), offset,
        ]  # fmt: skip
        return self._tables.encoded(WRITE_KEY, values)

    def _inboxes(self, event: RoomEvent) -> Iterator[Row]:
        bind, room, at = self._tables.bind, uuid.UUID(event.room), event.offset
        for user, member in entering(event):
            values = [uuid.UUID(user), room, member.role, member.read_seq, at]
            yield _inbox(event, user, bind(WRITE_INBOX, values))
        if isinstance(event, MemberLeft) or (isinstance(event, MemberBanned) and event.banned):
            yield _inbox(event, event.user, bind(CLEAR_INBOX, [at, uuid.UUID(event.user), room]))
        elif isinstance(event, MemberRoleChanged):
            yield _inbox(event, event.user, bind(WRITE_INBOX_ROLE, [at, event.role, uuid.UUID(event.user), room]))


def _inbox(event: RoomEvent, user: UserId, statement: BoundStatement) -> Row:
    return Row(event.room, ("inbox", user), statement)


def _changed_seq(event: RoomEvent) -> int | None:
    """The seq of the message that the event is, or changes."""
    if isinstance(event, (MessageSent, MessageEdited, MessageDeleted, ReactionAdded, ReactionRemoved)):
        return event.seq
    return None


def _place(event: MessageEdited | MessageDeleted | ReactionAdded | ReactionRemoved) -> list[object]:
    return [uuid.UUID(event.room), event.seq // BUCKET, event.seq]


def _ttl(event: RoomEvent) -> int:
    """Seconds that its message is still to be kept; 0 for ever."""
    if event.expires is None:
        return 0
    return max(1, round(event.expires / 1000 - time.time()))


def _key_bucket(event: RoomEvent) -> int:
    return ids.key_time(event.key) // KEY_BUCKET


def _offset(event: RoomEvent) -> int:
    return event.offset


def _seq(event: RoomEvent) -> int | None:
    """The room's seq once this event has happened, if the event tells."""
    match event:
        case MessageSent():
            return event.seq
        case MemberJoined():
            return event.joined_seq
        case RoomCreated():
            return 0
        case _:
            return None


def _or_unset(value: Any) -> Any:
    return UNSET_VALUE if value is None else value

"""What the chat functions hold of a user. Their tables, which user-auth only ever reads, and only for an export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from user_auth.database import Database

BUCKET: Final = 5000
"""Messages of a partition of `messages`, by seq: part of that table's contract."""


@dataclass(frozen=True)
class Room:
    """A room as one of its members has it. `joined_at` in ms since the epoch; `head`: the last message's seq."""

    room_id: UUID
    kind: str
    name: str | None
    topic: str | None
    role: str
    joined_at: int
    head: int


class Rooms:
    """Every method raises Unavailable where Cassandra does not answer in time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, user_id: UUID) -> Iterator[Room]:
        """The rooms that a user is in, read while they are taken."""
        rows = self._database.pages("SELECT room_id, role FROM rooms_by_user WHERE user_id = ?", user_id)
        found = (self._room(row.room_id, user_id) for row in rows if row.role is not None)
        return (room for room in found if room is not None)

    def _room(self, room_id: UUID, user_id: UUID) -> Room | None:
        """None where it is not, or no longer, a room with that member: the inbox may be behind."""
        facts = self._database.run("SELECT kind, name, topic FROM rooms_by_id WHERE room_id = ?", room_id)
        cql = "SELECT role, joined_at FROM members_by_room WHERE room_id = ? AND user_id = ?"
        members = self._database.run(cql, room_id, user_id)
        heads = self._database.run("SELECT seq FROM room_heads WHERE room_id = ?", room_id)
        if not facts or not members or members[0].role is None:
            return None
        fact, member = facts[0], members[0]
        return Room(
            room_id=room_id, kind=fact.kind, name=fact.name, topic=fact.topic, role=member.role,
            joined_at=member.joined_at or 0, head=(heads[0].seq or 0) if heads else 0,
        )  # fmt: skip

    def messages(self, room: Room, sender: UUID) -> Iterator[Any]:
        """Rows of the messages that somebody sent in a room, oldest first, but the deleted ones.

        Filtered by Cassandra within one partition at a time: what others wrote never leaves it.
        """
        cql = (
            "SELECT seq, time, text, edited_at, deleted, reply_to, mentions, meta FROM messages"
            " WHERE room_id = ? AND bucket = ? AND sender = ? ORDER BY seq ASC ALLOW FILTERING"
        )
        for bucket in range(room.head // BUCKET + 1):
            yield from (row for row in self._database.pages(cql, room.room_id, bucket, sender) if not row.deleted)

"""All that is kept of one user, as JSON lines, made while they are taken: memory holds a page, never the whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from user_auth.export_lines import (
    ExportBegin,
    ExportEnd,
    ExportMessage,
    ExportProfile,
    ExportRoom,
    ExportSession,
)
from user_auth.rooms import Rooms
from user_auth.sessions import Session, Sessions
from user_auth.users import User

PIECE: Final = 32 * 1024
"""Bytes that are gathered before they are sent: a line alone would be a packet."""

_Line = ExportBegin | ExportProfile | ExportSession | ExportRoom | ExportMessage | ExportEnd


@dataclass(frozen=True)
class Export:
    """Makes exports. `clock` gives ms since the epoch."""

    sessions: Sessions
    rooms: Rooms
    clock: Callable[[], int]

    def pieces(self, user: User) -> Iterator[bytes]:
        """UTF-8 JSON lines, whole ones, some 32 KiB at a time. Raises Unavailable, also in the middle.

        A room's messages are those that Cassandra had when the room's turn came; of rooms that the user has left
        nothing is known here.
        """
        piece = bytearray()
        for line in self._lines(user):
            piece += line.model_dump_json(exclude_none=True).encode() + b"\n"
            if len(piece) >= PIECE:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece)

    def _lines(self, user: User) -> Iterator[_Line]:
        yield ExportBegin(time=self.clock())
        yield _profile(user)
        yield from map(_session, self.sessions.of(user.user_id, user.version))
        told: Counter[type[_Line]] = Counter()
        for line in self._rooms(user.user_id):
            told[type(line)] += 1
            yield line
        yield ExportEnd(rooms=told[ExportRoom], messages=told[ExportMessage])

    def _rooms(self, user_id: UUID) -> Iterator[ExportRoom | ExportMessage]:
        for room in self.rooms.of(user_id):
            yield ExportRoom(
                room=str(room.room_id), kind=room.kind, name=room.name, topic=room.topic, role=room.role,
                joined_at=room.joined_at,
            )  # fmt: skip
            for row in self.rooms.messages(room, user_id):
                yield _message(str(room.room_id), row)


def _profile(user: User) -> ExportProfile:
    return ExportProfile(
        user_id=str(user.user_id), username=user.username, display_name=user.display_name, bio=user.bio,
        created_at=user.created_at,
    )  # fmt: skip


def _session(session: Session) -> ExportSession:
    return ExportSession(
        session_id=str(session.session_id), device=session.device, created_at=session.created_at,
        used_at=session.used_at, expires_at=session.expires_at,
    )  # fmt: skip


def _message(room: str, row: Any) -> ExportMessage:
    return ExportMessage(
        room=room, seq=row.seq, time=row.time, text=row.text or "", edited_at=row.edited_at, reply_to=row.reply_to,
        mentions=tuple(map(str, row.mentions)) if row.mentions else None,
        meta=json.loads(row.meta) if row.meta else None,
    )  # fmt: skip

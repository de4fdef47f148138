"""Rooms: what `room.create` and `room.update` may ask, and a room as one member sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chat_functions.changes import FACTS
from chat_functions.messages import as_message
from chat_functions.settings import Settings
from pulsar_data.commands import CreateRoom, UpdateRoom
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.events import ROOM_EVENT, MessageSent, RoomEvent
from pulsar_data.model import RoomId
from pulsar_data.rooms import Head, Membership, Message, RoomSummary


def check_create(command: CreateRoom, settings: Settings) -> None:
    """Raises ChatError: 107 for a group without a name, a direct room that is not of two; 404 for too many members."""
    others = set(command.members) - {command.actor}
    if command.kind == "direct":
        if len(others) != 1:
            raise ChatError(ErrorCode.BAD_REQUEST, "a direct room has exactly one other member")
    elif command.name is None:
        raise ChatError(ErrorCode.BAD_REQUEST, f"a {command.kind} needs a name")
    if len(others) + 1 > settings.member_limit:
        raise ChatError(ErrorCode.ROOM_FULL, f"a room has at most {settings.member_limit} members")


def check_update(command: UpdateRoom) -> None:
    """Raises ChatError: 107 if there is nothing to change."""
    if all(getattr(command, name) is None for name in FACTS):
        raise ChatError(ErrorCode.BAD_REQUEST, "there is nothing to change")


@dataclass(frozen=True, slots=True)
class View:
    """A room as OPEN_ROOM read it for one member, at one moment."""

    summary: RoomSummary
    epoch: int
    offset: int
    was_recovering: bool
    recovered: bool
    missed: tuple[RoomEvent, ...]


def read_view(room: RoomId, answer: Sequence[str]) -> View:
    """From the `open` answer of the OPEN_ROOM script."""
    epoch, offset, seq = int(answer[1]), int(answer[2]), int(answer[3])
    membership = Membership.from_json(answer[8])
    summary = RoomSummary(
        room=room, kind=answer[4], name=answer[5] or None, topic=answer[6] or None,  # type: ignore[arg-type]
        role=membership.role, head=Head(seq=seq, offset=offset, epoch=str(epoch)),
        read_seq=membership.read_seq, unread=max(0, seq - membership.read_seq),
        last_message=_last(answer[7]), members=int(answer[9]),
    )  # fmt: skip
    missed = tuple(ROOM_EVENT.validate_json(event) for event in answer[12:])
    return View(summary, epoch, offset, answer[10] in (1, "1"), answer[11] in (1, "1"), missed)


def _last(event: str) -> Message | None:
    parsed = ROOM_EVENT.validate_json(event) if event else None
    return as_message(parsed) if isinstance(parsed, MessageSent) else None

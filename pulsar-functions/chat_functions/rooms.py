"""Rooms: what `room.create` and `room.update` may ask, and a room as one member sees it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from chat_functions.changes import FACTS
from chat_functions.messages import as_message, changed
from chat_functions.settings import Settings
from pulsar_data.commands import CreateRoom, UpdateRoom
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.events import ROOM_EVENT, MessageDeleted, MessageEdited, MessageSent, RoomEvent
from pulsar_data.model import RoomId
from pulsar_data.rooms import Head, Membership, Message, RoomSummary


def check_create(command: CreateRoom) -> None:
    """Raises ChatError: 107 for a group without a name, a direct room that is not of two."""
    others = set(command.members) - {command.actor}
    if command.kind == "direct":
        if len(others) != 1:
            raise ChatError(ErrorCode.BAD_REQUEST, "a direct room has exactly one other member")
    elif command.name is None:
        raise ChatError(ErrorCode.BAD_REQUEST, f"a {command.kind} needs a name")


def excess(command: CreateRoom, settings: Settings) -> int | None:
    """404 for too many members."""
    return int(ErrorCode.ROOM_FULL) if len({*command.members, command.actor}) > settings.member_limit else None


def check_update(command: UpdateRoom) -> None:
    """Raises ChatError: 107 if there is nothing to change."""
    if all(getattr(command, name) is None for name in FACTS):
        raise ChatError(ErrorCode.BAD_REQUEST, "there is nothing to change")


@dataclass(frozen=True, slots=True)
class View:
    """A room as OPEN_ROOM read it for one reader, at one moment."""

    summary: RoomSummary
    epoch: int
    offset: int
    first: int
    """The lowest seq that this reader may read."""
    was_recovering: bool
    recovered: bool
    """Whether `missed` is all that the client missed."""
    in_log: bool
    """Whether what it missed is too much to come with this, but may be read from the log."""
    size: int
    """Bytes of what it missed, or about so many, if all are like those that Redis keeps."""
    missed: tuple[RoomEvent, ...]


def read_view(room: RoomId, answer: Sequence[str]) -> View:
    """From the `open` answer of the OPEN_ROOM script. Who is no member, but may look, has no role and read nothing."""
    epoch, offset, seq = int(answer[1]), int(answer[2]), int(answer[3])
    member = Membership.from_json(answer[12]) if answer[12] else None
    read_seq = seq if member is None else member.read_seq
    from_join = answer[10] == "from_join"
    first = 1 if not from_join else (seq if member is None else member.joined_seq) + 1
    last = _last(answer[7], answer[11])
    summary = RoomSummary(
        room=room, kind=answer[4], name=answer[5] or None, topic=answer[6] or None,  # type: ignore[arg-type]
        role=member.role if member else None, head=Head(seq=seq, offset=offset, epoch=str(epoch)),
        read_seq=read_seq, unread=max(0, seq - read_seq), members=int(answer[13]),
        last_message=last if last is not None and last.seq >= first else None,
        presence=True if answer[8] == "1" else None, retention_days=int(answer[9] or 0) or None,
        history="from_join" if from_join else None, muted_until=member.muted_until if member else None,
    )  # fmt: skip
    missed = tuple(ROOM_EVENT.validate_json(event) for event in answer[17:])
    recovered, size = int(answer[15]), int(answer[16])
    return View(summary, epoch, offset, first, int(answer[14]) == 1, recovered == 1, recovered == 2, size, missed)


def _last(event: str, change: str) -> Message | None:
    """The last message as it is now; None if there is none, or it has expired."""
    sent = ROOM_EVENT.validate_json(event) if event else None
    if not isinstance(sent, MessageSent) or (sent.expires or math.inf) <= time.time() * 1000:
        return None
    changing = ROOM_EVENT.validate_json(change) if change else None
    if isinstance(changing, MessageEdited | MessageDeleted) and changing.seq == sent.seq:
        return changed(as_message(sent), changing)
    return as_message(sent)

"""What an event changes of its room in Redis: COMMIT does it with the event's becoming visible."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from pulsar_data.events import (
    MemberBanned,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    MemberRoleChanged,
    MessageSent,
    RoomCreated,
    RoomEvent,
    RoomUpdated,
)
from pulsar_data.model import UserId
from pulsar_data.rooms import Membership, Role


@dataclass(frozen=True, slots=True)
class Change:
    """One step of COMMIT: see lua/commit.lua."""

    what: Literal["create", "facts", "enter", "change", "leave", "ban", "unban"]
    user: UserId | Literal[""] = ""
    value: str | bytes = ""


def changes(event: RoomEvent) -> tuple[Change, ...]:
    """All of them, in order; most events change nothing but the log."""
    match event:
        case MessageSent():
            return ()
        case RoomCreated():
            return (Change("create", value=_json(facts(event))), *map(_enter, entering(event)))
        case RoomUpdated():
            return (Change("facts", value=_json(facts(event))),)
        case MemberJoined():
            return tuple(map(_enter, entering(event)))
        case MemberLeft():
            return (Change("leave", event.user),)
        case MemberRoleChanged():
            return (_change(event, role=event.role),)
        case MemberMuted():
            return (_change(event, muted_until=event.until),)
        case MemberBanned(banned=True):
            return (Change("ban", event.user),)
        case MemberBanned():
            return (Change("unban", event.user),)
        case _:
            return ()


def entering(event: RoomEvent) -> tuple[tuple[UserId, Membership], ...]:
    """Who becomes a member by this event, and as what."""
    if isinstance(event, MemberJoined):
        return ((event.user, _membership(event, event.role, event.joined_seq)),)
    if isinstance(event, RoomCreated):
        first: Role = "member" if event.kind == "direct" else "owner"
        return (
            (event.actor, _membership(event, first, 0)),
            *((user, _membership(event, "member", 0)) for user in event.members),
        )
    return ()


def leaving(event: RoomEvent) -> UserId | None:
    """Who is no member after this event."""
    if isinstance(event, MemberLeft) or (isinstance(event, MemberBanned) and event.banned):
        return event.user
    return None


def facts(event: RoomCreated | RoomUpdated) -> dict[str, str]:
    """Head fields of the room, as far as the event tells; `presence` is 1 or 0."""
    named = {name: getattr(event, name, None) for name in ("kind", *FACTS)}
    return {name: fact(value) for name, value in named.items() if value is not None}


FACTS = ("name", "topic", "presence", "retention_days", "history")
"""What room.update can change."""


def fact(value: str | int | bool) -> str:
    """As the head has it."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _membership(event: RoomCreated | MemberJoined, role: Role, seq: int) -> Membership:
    return Membership(role=role, joined_seq=seq, read_seq=seq, offset=event.offset, time=event.time)


def _enter(entry: tuple[UserId, Membership]) -> Change:
    user, membership = entry
    return Change("enter", user, membership.to_json())


def _change(event: MemberRoleChanged | MemberMuted, **fields: str | int) -> Change:
    return Change("change", event.user, _json(fields | {"offset": event.offset, "time": event.time}))


def _json(value: object) -> str:
    return json.dumps(value)

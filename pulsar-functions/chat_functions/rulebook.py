"""Per command: what NUMBER is asked, the users it names, and the event it becomes. The rules themselves are in lua/."""

from __future__ import annotations

from typing import Any, Final

from chat_functions import messages
from chat_functions.numbering import Numbers, Operation
from chat_functions.settings import Settings
from pulsar_data import events
from pulsar_data.commands import (
    AddMember,
    AddReaction,
    BanMember,
    Change,
    ChangeRole,
    CreateRoom,
    DeleteMessage,
    EditMessage,
    JoinRoom,
    LeaveRoom,
    MuteMember,
    RemoveMember,
    RemoveReaction,
    SendMessage,
    UpdateRoom,
)
from pulsar_data.events import RoomEvent
from pulsar_data.model import UserId

MessageChange = EditMessage | DeleteMessage | AddReaction | RemoveReaction
OPERATIONS: Final[dict[type[Change], Operation]] = {
    SendMessage: "send",
    EditMessage: "edit",
    DeleteMessage: "delete",
    AddReaction: "react",
    RemoveReaction: "unreact",
    CreateRoom: "create",
    UpdateRoom: "update",
    JoinRoom: "join",
    LeaveRoom: "leave",
    AddMember: "add",
    RemoveMember: "remove",
    ChangeRole: "role",
    MuteMember: "mute",
    BanMember: "ban",
}
EVENTS: Final[dict[type[Change], type[RoomEvent]]] = {
    EditMessage: events.MessageEdited,
    DeleteMessage: events.MessageDeleted,
    AddReaction: events.ReactionAdded,
    RemoveReaction: events.ReactionRemoved,
    CreateRoom: events.RoomCreated,
    UpdateRoom: events.RoomUpdated,
    JoinRoom: events.MemberJoined,
    LeaveRoom: events.MemberLeft,
    AddMember: events.MemberJoined,
    RemoveMember: events.MemberLeft,
    ChangeRole: events.MemberRoleChanged,
    MuteMember: events.MemberMuted,
    BanMember: events.MemberBanned,
}
PASSING: Final = (SendMessage, EditMessage, AddReaction, RemoveReaction)
"""What others of the same batch need not wait for: no rule asks for what it changes."""


def operation(command: Change) -> Operation:
    """What NUMBER calls it."""
    if isinstance(command, BanMember) and not command.banned:
        return "unban"
    return OPERATIONS[type(command)]


def asks(command: Change, found: str, settings: Settings) -> tuple[str | int, ...]:
    """What the rules want to know: ARGV from 11 on. `found`: what Cassandra knows of the message, '' if not asked."""
    match command:
        case SendMessage():
            return ("" if command.reply_to is None else command.reply_to,)
        case EditMessage() | DeleteMessage():
            return (command.seq, found, "", "")
        case AddReaction() | RemoveReaction():
            return (command.seq, found, command.emoji, settings.reactions_a_day)
        case CreateRoom() | UpdateRoom():
            return ()
        case JoinRoom() | LeaveRoom():
            return (command.actor, "", settings.member_limit)
        case AddMember() | ChangeRole():
            return (command.user, command.role, settings.member_limit)
        case RemoveMember() | MuteMember() | BanMember():
            return (command.user, "", settings.member_limit)


def newcomers(command: Change) -> set[UserId]:
    """Users who would become members: they must exist, and have a place left in their list of rooms."""
    match command:
        case CreateRoom():
            return {*command.members, command.actor}
        case JoinRoom():
            return {command.actor}
        case AddMember():
            return {command.user}
        case _:
            return set()


def strangers(command: Change) -> set[UserId]:
    """Users who must exist, though they need not be members."""
    return {command.user} if isinstance(command, BanMember) and command.banned else newcomers(command)


def event(command: Change, numbers: Numbers, digest: str) -> RoomEvent:
    """The event of a numbered command: it has the command's fields, and its numbers."""
    if isinstance(command, SendMessage):
        return messages.sent(command, numbers, digest)
    given: dict[str, Any] = {name: value for name, value in command if name not in ("type", "sender")}
    given |= {"epoch": numbers.epoch, "offset": numbers.offset, "time": numbers.time, "digest": digest}
    if numbers.expires:
        given["expires"] = numbers.expires
    return EVENTS[type(command)].model_validate(given | _more(command, numbers))


def _more(command: Change, numbers: Numbers) -> dict[str, Any]:
    match command:
        case CreateRoom():
            return {"members": tuple(sorted(set(command.members) - {command.actor}))}
        case AddMember():
            return {"joined_seq": numbers.seq}
        case JoinRoom():
            return {"user": command.actor, "role": "member", "joined_seq": numbers.seq}
        case LeaveRoom():
            return {"user": command.actor}
        case _:
            return {}

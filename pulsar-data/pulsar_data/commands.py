"""Commands: what somebody wants to happen in a room. Topic `commands`, keyed by room; chat-router decides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from pulsar_data.model import Counter, Model, Room, User, Uuid
from pulsar_data.rooms import Days, Emoji, Kind, Meta, MuteEnd, Name, Reach, Role, Text, Topic, Users


class Sender(Model):
    """Where a command came from and its answer goes to. `request` is unique within the gateway's boot."""

    gateway: str
    client: str
    request: Counter


class _Command(Model):
    """Unless it says otherwise its answer is offset, time, duplicate."""

    room: Room
    actor: User
    key: Uuid
    sender: Sender | None = None


class SendMessage(_Command):
    """Answer: seq, offset, time, duplicate."""

    type: Literal["send_message"] = "send_message"
    text: Text
    reply_to: Counter | None = None
    mentions: Users = ()
    meta: Meta | None = None


class EditMessage(_Command):
    """Of one's own message. It replaces the text, and the mentions and meta where given."""

    type: Literal["edit_message"] = "edit_message"
    seq: Counter
    text: Text
    mentions: Users | None = None
    meta: Meta | None = None


class DeleteMessage(_Command):
    """Of one's own message, or any as a moderator."""

    type: Literal["delete_message"] = "delete_message"
    seq: Counter


class AddReaction(_Command):
    """Adding what is there changes nothing."""

    type: Literal["add_reaction"] = "add_reaction"
    seq: Counter
    emoji: Emoji


class RemoveReaction(_Command):
    """Removing what is not there changes nothing."""

    type: Literal["remove_reaction"] = "remove_reaction"
    seq: Counter
    emoji: Emoji


class MarkRead(Model):
    """Everything up to `seq` is read. A mark never goes back, so it needs no key. Answer: {}."""

    type: Literal["mark_read"] = "mark_read"
    room: Room
    actor: User
    key: Uuid | None = None
    sender: Sender | None = None
    seq: Counter


class CreateRoom(_Command):
    """`room` is derived: see pulsar_data.ids. Answer: RoomSummary."""

    type: Literal["create_room"] = "create_room"
    kind: Kind
    name: Name | None = None
    topic: Topic | None = None
    members: Users = ()
    history: Reach | None = None


class UpdateRoom(_Command):
    """Changes what is given."""

    type: Literal["update_room"] = "update_room"
    name: Name | None = None
    topic: Topic | None = None
    presence: bool | None = None
    retention_days: Days | None = None
    history: Reach | None = None


class JoinRoom(_Command):
    """Channels only."""

    type: Literal["join_room"] = "join_room"


class LeaveRoom(_Command):
    """The last owner cannot, while others are there."""

    type: Literal["leave_room"] = "leave_room"


class AddMember(_Command):
    """By owners and moderators."""

    type: Literal["add_member"] = "add_member"
    user: User
    role: Role = "member"


class RemoveMember(_Command):
    """Of a lower role than one's own, as all that follow."""

    type: Literal["remove_member"] = "remove_member"
    user: User


class ChangeRole(_Command):
    """By owners; of oneself too, if another owner remains."""

    type: Literal["change_role"] = "change_role"
    user: User
    role: Role


class MuteMember(_Command):
    """Until a time; one that has passed ends it."""

    type: Literal["mute_member"] = "mute_member"
    user: User
    until: MuteEnd


class BanMember(_Command):
    """Removes a member and keeps it, or anybody else, out; `banned` false ends that."""

    type: Literal["ban_member"] = "ban_member"
    user: User
    banned: bool = True


class RebuildRoom(Model):
    """Archive's wish, when it meets a room that Redis has lost. No answer: the room is there again or it is not."""

    type: Literal["rebuild_room"] = "rebuild_room"
    room: Room


Change = (
    SendMessage | EditMessage | DeleteMessage | AddReaction | RemoveReaction
    | CreateRoom | UpdateRoom | JoinRoom | LeaveRoom
    | AddMember | RemoveMember | ChangeRole | MuteMember | BanMember
)  # fmt: skip
"""What becomes a numbered event."""
Command = Change | MarkRead | RebuildRoom
COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])
"""COMMAND.validate_json(bytes): the only way in. Raises pydantic.ValidationError."""

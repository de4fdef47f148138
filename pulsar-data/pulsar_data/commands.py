"""Commands: what somebody wants to happen in a room. Topic `commands`, keyed by room; chat-router decides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from pulsar_data.model import Counter, Model, Room, User, Uuid
from pulsar_data.rooms import Kind, Meta, Name, Role, Text, Topic, Users


class Sender(Model):
    """Where a command came from and its answer goes to. `request` is unique within the gateway's boot."""

    gateway: str
    client: str
    request: Counter


class _Command(Model):
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


class CreateRoom(_Command):
    """`room` is derived: see pulsar_data.ids. Answer: RoomSummary."""

    type: Literal["create_room"] = "create_room"
    kind: Kind
    name: Name | None = None
    topic: Topic | None = None
    members: Users = ()


class AddMember(_Command):
    """Answer: offset, time, duplicate."""

    type: Literal["add_member"] = "add_member"
    user: User
    role: Role = "member"


class RebuildRoom(Model):
    """Archive's wish, when it meets a room that Redis has lost. No answer: the room is there again or it is not."""

    type: Literal["rebuild_room"] = "rebuild_room"
    room: Room


Command = SendMessage | CreateRoom | AddMember | RebuildRoom
COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])
"""COMMAND.validate_json(bytes): the only way in. Raises pydantic.ValidationError."""

"""Events: what has happened in a room, numbered. Topic `events`, keyed by room: the durable log, a public contract."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from pulsar_data.model import Counter, Milliseconds, Model, Room, User, Uuid
from pulsar_data.rooms import Kind, Meta, Name, Role, Text, Topic, Users


class _RoomEvent(Model):
    """`offset` is dense within the room over all epochs; an event of a lower epoch behind a RoomRebuild is void."""

    room: Room
    epoch: Counter
    offset: Counter
    time: Milliseconds
    actor: User
    key: Uuid


class MessageSent(_RoomEvent):
    """`seq` counts the messages of people, dense."""

    type: Literal["message_sent"] = "message_sent"
    seq: Counter
    text: Text
    reply_to: Counter | None = None
    mentions: Users = ()
    meta: Meta | None = None
    digest: str


class RoomCreated(_RoomEvent):
    """Always offset 1. `members` includes the creator's companions, not the creator, who is `actor`."""

    type: Literal["room_created"] = "room_created"
    kind: Kind
    name: Name | None = None
    topic: Topic | None = None
    members: Users = ()
    digest: str


class MemberJoined(_RoomEvent):
    """`joined_seq` is the head at that moment: what came before is not unread."""

    type: Literal["member_joined"] = "member_joined"
    user: User
    role: Role
    joined_seq: Counter
    digest: str


class RoomRebuild(Model):
    """A marker without number: Redis lost this room. Later events of a lower epoch are void."""

    type: Literal["room_rebuild"] = "room_rebuild"
    room: Room
    epoch: Counter
    time: Milliseconds


RoomEvent = MessageSent | RoomCreated | MemberJoined
LogEntry = RoomEvent | RoomRebuild
ROOM_EVENT: TypeAdapter[RoomEvent] = TypeAdapter(Annotated[RoomEvent, Field(discriminator="type")])
LOG_ENTRY: TypeAdapter[LogEntry] = TypeAdapter(Annotated[LogEntry, Field(discriminator="type")])
"""validate_json(bytes): the only way in. Raises pydantic.ValidationError."""

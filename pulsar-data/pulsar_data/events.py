"""Events: what has happened in a room, numbered. Topic `events`, keyed by room: the durable log, a public contract."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from pulsar_data.model import Counter, Evolving, Milliseconds, Room, User, Uuid
from pulsar_data.rooms import Days, Emoji, Kind, Meta, MuteEnd, Name, Reach, Role, Text, Topic, Users


class _RoomEvent(Evolving):
    """`offset` is dense within the room over all epochs; an event of a lower epoch behind a RoomRebuild is void.

    `expires`: when the message it belongs to is forgotten, in a room that keeps messages for some days only.
    `digest`: of what was asked for under `key`.
    """

    room: Room
    epoch: Counter
    offset: Counter
    time: Milliseconds
    actor: User
    key: Uuid
    digest: str
    expires: Milliseconds | None = None


class MessageSent(_RoomEvent):
    """`seq` counts the messages of people, dense."""

    type: Literal["message_sent"] = "message_sent"
    seq: Counter
    text: Text
    reply_to: Counter | None = None
    mentions: Users = ()
    meta: Meta | None = None


class MessageEdited(_RoomEvent):
    """The message `seq` says this now. Mentions and meta stay as they were where they are not given."""

    type: Literal["message_edited"] = "message_edited"
    seq: Counter
    text: Text
    mentions: Users | None = None
    meta: Meta | None = None


class MessageDeleted(_RoomEvent):
    """The message `seq` is a tombstone, for ever: nothing that comes later changes it."""

    type: Literal["message_deleted"] = "message_deleted"
    seq: Counter


class ReactionAdded(_RoomEvent):
    """By `actor`, to the message `seq`."""

    type: Literal["reaction_added"] = "reaction_added"
    seq: Counter
    emoji: Emoji


class ReactionRemoved(_RoomEvent):
    """By `actor`, from the message `seq`."""

    type: Literal["reaction_removed"] = "reaction_removed"
    seq: Counter
    emoji: Emoji


class RoomCreated(_RoomEvent):
    """Always offset 1. `members` includes the creator's companions, not the creator, who is `actor`."""

    type: Literal["room_created"] = "room_created"
    kind: Kind
    name: Name | None = None
    topic: Topic | None = None
    members: Users = ()
    history: Reach | None = None


class RoomUpdated(_RoomEvent):
    """What has changed."""

    type: Literal["room_updated"] = "room_updated"
    name: Name | None = None
    topic: Topic | None = None
    presence: bool | None = None
    retention_days: Days | None = None
    history: Reach | None = None


class MemberJoined(_RoomEvent):
    """`user` was added by `actor`, or joined. `joined_seq` is the head then: what came before is not unread."""

    type: Literal["member_joined"] = "member_joined"
    user: User
    role: Role
    joined_seq: Counter


class MemberLeft(_RoomEvent):
    """`user` left, or was removed by another `actor`."""

    type: Literal["member_left"] = "member_left"
    user: User


class MemberRoleChanged(_RoomEvent):
    """`user` has this role now."""

    type: Literal["member_role_changed"] = "member_role_changed"
    user: User
    role: Role


class MemberMuted(_RoomEvent):
    """`user` may not write until then; a time that has passed: it may again."""

    type: Literal["member_muted"] = "member_muted"
    user: User
    until: MuteEnd


class MemberBanned(_RoomEvent):
    """`user` is no member (any more) and cannot become one. `banned` false: it can again."""

    type: Literal["member_banned"] = "member_banned"
    user: User
    banned: bool


class MessageRead(Evolving):
    """`actor` has read up to `seq`. Without a number: marks only rise, so the highest counts, in whatever order.

    `head`: the room's visible offset at that moment.
    """

    type: Literal["message_read"] = "message_read"
    room: Room
    epoch: Counter
    head: Counter
    time: Milliseconds
    actor: User
    seq: Counter


class RoomRebuild(Evolving):
    """A marker without number: Redis lost this room. Later events of a lower epoch are void."""

    type: Literal["room_rebuild"] = "room_rebuild"
    room: Room
    epoch: Counter
    time: Milliseconds


RoomEvent = (
    MessageSent | MessageEdited | MessageDeleted | ReactionAdded | ReactionRemoved
    | RoomCreated | RoomUpdated
    | MemberJoined | MemberLeft | MemberRoleChanged | MemberMuted | MemberBanned
)  # fmt: skip
"""All that is numbered."""
LogEntry = RoomEvent | MessageRead | RoomRebuild
ROOM_EVENT: TypeAdapter[RoomEvent] = TypeAdapter(Annotated[RoomEvent, Field(discriminator="type")])
LOG_ENTRY: TypeAdapter[LogEntry] = TypeAdapter(Annotated[LogEntry, Field(discriminator="type")])
"""validate_json(bytes): the only way in. Raises pydantic.ValidationError."""

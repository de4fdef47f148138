"""Rooms, memberships and messages as clients see them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from pulsar_data.model import Counter, Milliseconds, Model, Room, User, Uuid

Kind = Literal["group", "direct", "channel"]
Role = Literal["owner", "moderator", "member"]
Text = str
Name = Annotated[str, Field(min_length=1, max_length=200)]
Topic = Annotated[str, Field(max_length=1000)]
Meta = dict[str, JsonValue]
"""Free JSON of the product around us, carried untouched."""
Users = Annotated[tuple[User, ...], Field(strict=False, max_length=1000)]


class Head(Model):
    """How far a room is. `epoch` is a string on the wire: Centrifuge clients compare it, they do not count with it."""

    seq: Counter
    offset: Counter
    epoch: str


class Membership(Model):
    """One member of one room. `joined_seq`: the head then; `offset`, `time`: of the event that let them in."""

    role: Role
    joined_seq: Counter
    read_seq: Counter
    offset: Counter
    time: Milliseconds
    muted_until: Milliseconds | None = None
    banned: bool | None = None


class Message(Model):
    """A message as `message.list` gives it, edits and reactions applied."""

    room: Room
    seq: Counter
    offset: Counter
    key: Uuid
    sender: User
    text: Text
    time: Milliseconds
    edited_at: Milliseconds | None = None
    deleted: bool | None = None
    reply_to: Counter | None = None
    mentions: Users = ()
    reactions: dict[str, Annotated[tuple[User, ...], Field(strict=False)]] = Field(default_factory=dict)
    meta: Meta | None = None


class RoomSummary(Model):
    """A room in one member's list. `unread` = head.seq - read_seq."""

    room: Room
    kind: Kind
    name: str | None = None
    topic: str | None = None
    role: Role
    head: Head
    read_seq: Counter
    unread: Counter
    last_message: Message | None = None
    members: Counter


class Profile(Model):
    """What a user sees of itself in the snapshot."""

    user_id: User
    username: str
    display_name: str | None = None

"""Rooms, memberships and messages as clients see them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, JsonValue, StringConstraints

from pulsar_data.model import Counter, Evolving, Milliseconds, Model, Room, User, Uuid

Kind = Literal["group", "direct", "channel"]
Role = Literal["owner", "moderator", "member"]
Text = str
Name = Annotated[str, Field(min_length=1, max_length=200)]
Topic = Annotated[str, Field(max_length=1000)]
Meta = dict[str, JsonValue]
"""Free JSON of the product around us, carried untouched."""
DEEPEST: Final = 32
"""Levels of it. Each part wraps what it carries into JSON of its own, and no parser of ours reads more than 200."""


def _shallow(meta: Meta) -> Meta:
    level: list[JsonValue] = [meta]
    for _ in range(DEEPEST):
        level = [value for one in level for value in _inside(one) if isinstance(value, (dict, list))]
        if not level:
            return meta
    raise ValueError(f"more than {DEEPEST} levels")


def _inside(value: JsonValue) -> Iterable[JsonValue]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


NewMeta = Annotated[Meta, AfterValidator(_shallow), Field(description=f"Free JSON, at most {DEEPEST} levels deep.")]
"""As it comes in: what was accepted once is always read."""
Users = Annotated[tuple[User, ...], Field(strict=False, max_length=1000)]
Emoji = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f\x7f-\x9f]{1,32}$")]
"""An emoji, or a short name of one: 1 to 32 characters without blanks and control characters."""
Days = Annotated[int, Field(ge=0, le=3650)]
"""How long messages are kept; 0 is for ever."""
MuteEnd = Annotated[int, Field(ge=0, lt=10**14)]
"""ms since the epoch; a time that has passed, such as 0, mutes nobody."""
Reach = Literal["all", "from_join"]
"""Which messages a member may read: all of the room's, or only those since it joined."""


class Head(Evolving):
    """How far a room is. `epoch` is a string on the wire: Centrifuge clients compare it, they do not count with it."""

    seq: Counter
    offset: Counter
    epoch: str


class Membership(Evolving):
    """One member of one room. `joined_seq`: the head then; `offset`, `time`: of the event that last changed this."""

    role: Role
    joined_seq: Counter
    read_seq: Counter
    offset: Counter
    time: Milliseconds
    muted_until: Milliseconds | None = None


class Message(Evolving):
    """A message as `message.list` gives it, edits and reactions applied.

    A deleted one is a tombstone: `deleted`, an empty text, no mentions, no reactions, no meta.
    """

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


class RoomSummary(Evolving):
    """A room in one member's list. `unread` = head.seq - read_seq. `last_message` comes without its reactions.

    Without `role`: a channel that one has not joined, but may read.
    `presence`, `retention_days`, `history` only where they are not off, for ever, all; `muted_until`: of this member.
    """

    room: Room
    kind: Kind
    name: str | None = None
    topic: str | None = None
    role: Role | None = None
    head: Head
    read_seq: Counter
    unread: Counter
    last_message: Message | None = None
    members: Counter
    presence: bool | None = None
    retention_days: Days | None = None
    history: Reach | None = None
    muted_until: Milliseconds | None = None


class Member(Evolving):
    """A member as `member.list` gives it."""

    user: User
    role: Role
    joined_at: Milliseconds
    read_seq: Counter
    muted_until: Milliseconds | None = None


class Profile(Evolving):
    """What a user sees of itself in the snapshot."""

    user_id: User
    username: str
    display_name: str | None = None


class PublicProfile(Model):
    """What anybody sees of a user. Of one who has gone only `deleted`."""

    user_id: User
    username: str | None = None
    display_name: str | None = None
    bio: str | None = None
    deleted: bool | None = None

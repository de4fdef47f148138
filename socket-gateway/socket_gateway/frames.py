"""The shapes of results and pushes as clients see them: docs/asyncapi.yaml is made of them, and tests check frames.

Frames are encoded in `protocol`, not from these models: that is the hot path.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from pulsar_data.events import RoomEvent
from pulsar_data.model import Counter, Milliseconds, Model, Room, User
from pulsar_data.news import ProfileChanged
from pulsar_data.rooms import Profile, RoomSummary

HIDDEN = ("epoch", "digest", "expires", "head")
"""Fields of events that are between our parts: no client gets them."""


class _Frame(Model):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ClientInfo(_Frame):
    """Who, and on which connection where that is known."""

    user: User
    client: str | None = None


class RoomPublication(_Frame):
    """An event of a room, numbered: offsets are dense, so a client sees what it lacks."""

    data: Annotated[RoomEvent, Field(discriminator="type")]
    info: ClientInfo
    offset: Counter
    time: Milliseconds


class ReadMark(_Frame):
    """`actor` has read up to `seq`. Marks only rise."""

    type: Literal["message_read"]
    room: Room
    time: Milliseconds
    actor: User
    seq: Counter


class TypingNow(_Frame):
    """`actor` is writing. Shown for a few seconds; never stored, may be lost."""

    type: Literal["typing"]
    room: Room
    actor: User
    time: Milliseconds


class EnteredRoom(_Frame):
    """The user is in a room now; for clients that subscribe by themselves."""

    type: Literal["room_entered"]
    room: RoomSummary


class LeftRoom(_Frame):
    """The user is in a room no more."""

    type: Literal["room_left"]
    room: Room


class RoomNoticePublication(_Frame):
    """Something of a room that has no number: pushed as it comes, never recovered."""

    data: Annotated[ReadMark | TypingNow, Field(discriminator="type")]
    info: ClientInfo | None = None


class NewsPublication(_Frame):
    """Something for all devices of the user, on `user:<id>`. A reconnect brings its state in the snapshot instead."""

    data: Annotated[ReadMark | ProfileChanged | EnteredRoom | LeftRoom, Field(discriminator="type")]
    info: ClientInfo | None = None


class Subscription(_Frame):
    """A channel's position, and what was missed.

    `recovered`: `publications` are all of it, in order. `was_recovering` without `recovered`: load the room anew.
    `data`: the room, where the client did not get it in a snapshot.
    """

    recoverable: bool | None = None
    positioned: bool | None = None
    epoch: str | None = None
    offset: Counter | None = None
    was_recovering: bool | None = None
    recovered: bool | None = None
    publications: Annotated[tuple[RoomPublication, ...] | None, Field(strict=False)] = None
    data: RoomSummary | None = None


class Snapshot(_Frame):
    """The user and its rooms. `more`: the user has more rooms than these; `room.list` gives them."""

    user: Profile
    rooms: Annotated[tuple[RoomSummary, ...], Field(strict=False)]
    more: bool | None = None


class ConnectResult(_Frame):
    """The session is open. `ttl`: seconds until the client should `refresh`; `ping`: seconds between pings."""

    client: str
    version: str
    expires: bool
    ttl: int
    ping: int
    pong: bool
    session: str
    node: str
    subs: dict[str, Subscription]
    data: Snapshot


class RefreshResult(_Frame):
    """The new token counts. `ttl`: seconds until the next `refresh`."""

    client: str
    version: str
    expires: bool
    ttl: int


class HistoryResult(_Frame):
    """The room's position, and the events that were asked for."""

    publications: Annotated[tuple[RoomPublication, ...], Field(strict=False)] = ()
    epoch: str
    offset: Counter


class PresenceResult(_Frame):
    """Connections in a room, by their ids."""

    presence: dict[str, ClientInfo]


class PresenceStatsResult(_Frame):
    """How many connections and people there are in a room."""

    num_clients: int
    num_users: int


class Nothing(_Frame):
    """It is done."""


class Presence(_Frame):
    """A `join` or `leave` of a room that shows presence."""

    info: ClientInfo


class Unsubscribe(_Frame):
    """The user is in the room no more."""

    code: int | None = None
    reason: str | None = None


class Disconnect(_Frame):
    """The close code and its reason, before the close itself."""

    code: int
    reason: str

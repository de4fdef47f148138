"""Deliveries: what router and archive tell one gateway. Topic `gateways/<id>`; many items in one Pulsar message."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pulsar_data.errors import RpcError
from pulsar_data.events import MessageRead, RoomEvent
from pulsar_data.model import Counter, Evolving, Room, User
from pulsar_data.news import News
from pulsar_data.rooms import Profile, RoomSummary

Events = Annotated[tuple[Annotated[RoomEvent, Field(discriminator="type")], ...], Field(strict=False)]


class Publication(Evolving):
    """A committed room event for the room's members on this gateway. `client`: the connection that caused it."""

    type: Literal["publication"] = "publication"
    event: Annotated[RoomEvent, Field(discriminator="type")]
    client: str | None = None


class Reply(Evolving):
    """The answer to a command or query of this gateway: either result or error."""

    type: Literal["reply"] = "reply"
    request: Counter
    result: dict[str, Any] | None = None
    error: RpcError | None = None


class OpenedRoom(Evolving):
    """One room of an opened session: its position now, and what the client missed.

    `recovered` true: `publications` are all that lie between the client's offset and `offset`, in order.
    `recovered` false with `was_recovering` true: the client must reload; `publications` is empty, never a part.
    """

    summary: RoomSummary
    epoch: Counter
    offset: Counter
    was_recovering: bool = False
    recovered: bool = False
    publications: Events = ()


class SessionOpened(Evolving):
    """Answer to OpenSession: the snapshot. `more`: the user has more rooms than these (`room.list`)."""

    type: Literal["session_opened"] = "session_opened"
    request: Counter
    user: Profile
    rooms: Annotated[tuple[OpenedRoom, ...], Field(strict=False)] = ()
    more: bool = False


class RoomOpened(Evolving):
    """Answer to OpenRoom."""

    type: Literal["room_opened"] = "room_opened"
    request: Counter
    room: OpenedRoom


class RoomEntered(Evolving):
    """A user of this gateway became a member of a room by the event numbered `offset`, which is not pushed again."""

    type: Literal["room_entered"] = "room_entered"
    user: User
    room: Room
    epoch: Counter
    offset: Counter
    summary: RoomSummary


class RoomLeft(Evolving):
    """A user of this gateway is no member any more, by the event numbered `offset`, which came before this."""

    type: Literal["room_left"] = "room_left"
    user: User
    room: Room
    epoch: Counter
    offset: Counter


class RoomNotice(Evolving):
    """For the members of a room on this gateway, without a number: pushed as it comes, never recovered."""

    type: Literal["room_notice"] = "room_notice"
    event: MessageRead
    client: str | None = None


class UserNews(Evolving):
    """For all of a user's devices on this gateway. `client`: the connection that caused it."""

    type: Literal["user_news"] = "user_news"
    user: User
    news: Annotated[News, Field(discriminator="type")]
    client: str | None = None


class HistoryRead(Evolving):
    """Answer to ReadHistory: the room's position, and the events that were asked for, in the order asked for."""

    type: Literal["history_read"] = "history_read"
    request: Counter
    epoch: Counter
    offset: Counter
    publications: Events = ()


Item = Publication | Reply | SessionOpened | RoomOpened | HistoryRead | RoomEntered | RoomLeft | RoomNotice | UserNews


class Delivery(Evolving):
    """One Pulsar message on a gateway's topic. Items of one room are in the order of their offsets."""

    items: Annotated[tuple[Annotated[Item, Field(discriminator="type")], ...], Field(strict=False)]

"""What members get, as ready-made frames: encoded and framed once, however many they are."""

from __future__ import annotations

from pulsar_data.deliveries import RoomEntered, RoomLeft, RoomNotice, UserNews
from pulsar_data.events import MemberBanned, MemberLeft, RoomEvent, RoomUpdated
from pulsar_data.model import UserId
from pulsar_data.signals import PresenceChanged, Typing
from socket_gateway import protocol
from socket_gateway.backlog import Kept
from socket_gateway.wire import text_frame

UNSUBSCRIBED = 2000
"""The server took the subscription back for good: an SDK does not ask for it again by itself."""


def kept(event: RoomEvent, client: str | None = None) -> Kept:
    """A room event. `client`: the connection that caused it, where known."""
    pub = protocol.publication(event, client)
    frame = text_frame(protocol.pub_push(protocol.room_channel(event.room), pub))
    presence = event.presence if isinstance(event, RoomUpdated) else None
    return Kept(event.epoch, event.offset, frame, presence, event.time, _out(event))


def _out(event: RoomEvent) -> UserId | None:
    match event:
        case MemberLeft() | MemberBanned(banned=True):
            return event.user
        case _:
            return None


def notice(item: RoomNotice) -> bytes:
    """To all members of a room: an event without a number."""
    data = item.event.model_dump(mode="json", exclude={"epoch", "head"})
    info = protocol.client_info(item.event.actor, item.client)
    return text_frame(protocol.passing_push(protocol.room_channel(item.event.room), data, info))


def news(item: UserNews) -> bytes:
    """To a user's own devices."""
    data = item.news.model_dump(mode="json", exclude_none=True, exclude={"epoch", "head"})
    info = protocol.client_info(item.user, item.client)
    return text_frame(protocol.passing_push(protocol.user_channel(item.user), data, info))


def entered(item: RoomEntered) -> bytes:
    """To a user's own devices, beside the `subscribe` of those that follow all its rooms."""
    data = {"type": "room_entered", "room": item.summary.to_dict()}
    return text_frame(protocol.passing_push(protocol.user_channel(item.user), data))


def left(item: RoomLeft) -> bytes:
    """To a user's own devices, beside the `unsubscribe`."""
    return text_frame(protocol.passing_push(protocol.user_channel(item.user), {"type": "room_left", "room": item.room}))


def typing(signal: Typing) -> bytes:
    """To the other members."""
    data = {"type": "typing", "room": signal.room, "actor": signal.user, "time": signal.time}
    info = protocol.client_info(signal.user, signal.client)
    return text_frame(protocol.passing_push(protocol.room_channel(signal.room), data, info))


def presence(room: str, signal: PresenceChanged) -> bytes:
    """To the members of one room."""
    change = "join" if signal.online else "leave"
    return text_frame(protocol.presence_push(room, change, signal.user, signal.client))

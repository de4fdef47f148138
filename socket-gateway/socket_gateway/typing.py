"""Typing: a word to the room's other members, worth nothing a moment later. Never stored, the first to be dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.model import Model, Room, RoomId
from pulsar_data.signals import Typing

if TYPE_CHECKING:
    from socket_gateway.connection import Connection


class TypingParams(Model):
    """`rpc typing`; with `type` it is what `send` carries."""

    room: Room


def typing(connection: Connection, data: object) -> None:
    """Raises ChatError 107; 403 unless this socket is in the room; 111 for many rooms at once.

    Said again too soon it is dropped: that tells nobody anything new.
    """
    room = where(data)
    if room not in connection.rooms:
        raise ChatError(ErrorCode.NOT_A_MEMBER, "the socket is not in that room")
    if _news(connection, room):
        gateway = connection.gateway
        gateway.signal(Typing(room=room, user=connection.user, client=connection.client, time=gateway.now()))


def where(data: object) -> RoomId:
    """In which room somebody types. Raises ChatError 107."""
    try:
        return TypingParams.model_validate(data).room
    except ValidationError as error:
        raise ChatError(ErrorCode.BAD_REQUEST, "typing takes a room") from error


def _news(connection: Connection, room: RoomId) -> bool:
    limits, now = connection.gateway.limits, connection.gateway.time()
    recent = {room: at for room, at in connection.typed.items() if 0 <= now - at < limits.typing}
    connection.typed = recent
    if room in recent:
        return False
    if len(recent) >= limits.typing_rooms:
        raise ChatError(ErrorCode.TOO_MANY_REQUESTS, "typing in many rooms at once")
    recent[room] = now
    return True


def sent(data: object) -> object:
    """The parameters in the data of a `send`. Raises ChatError 107 for anything but typing."""
    if not isinstance(data, dict) or data.get("type") != "typing":
        raise ChatError(ErrorCode.BAD_REQUEST, "only typing can be sent")
    return {name: value for name, value in data.items() if name != "type"}

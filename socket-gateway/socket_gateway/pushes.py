"""A room event as the frame that every member gets."""

from __future__ import annotations

from pulsar_data.events import RoomEvent
from socket_gateway import protocol
from socket_gateway.backlog import Kept
from socket_gateway.wire import text_frame


def kept(event: RoomEvent, client: str | None = None) -> Kept:
    """Encoded and framed once. `client`: the connection that caused it, where known."""
    pub = protocol.publication(event, client)
    frame = text_frame(protocol.pub_push(protocol.room_channel(event.room), pub))
    return Kept(event.epoch, event.offset, frame)

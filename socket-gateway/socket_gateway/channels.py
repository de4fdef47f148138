"""What a client may read of a channel: `history`, `presence` and `presence_stats` of a room."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from pulsar_data.deliveries import HistoryRead, Reply
from pulsar_data.errors import ErrorCode, RpcError
from pulsar_data.model import RoomId
from pulsar_data.queries import Position, ReadHistory, ReadPresence
from socket_gateway import protocol
from socket_gateway.protocol import HistoryRequest, PresenceRequest, PresenceStatsRequest
from socket_gateway.requests import Answer

if TYPE_CHECKING:
    from socket_gateway.connection import Connection

MOST = 1000
"""Publications of one answer."""


def history(connection: Connection, number: int, request: HistoryRequest) -> None:
    """The room's log, as far back as it is kept."""
    room = _room(connection, number, request.channel)
    if room is None:
        return
    since = request.since
    connection.question(
        ReadHistory,
        partial(_history_read, connection, number),
        room=room,
        limit=MOST if request.limit < 0 else min(request.limit, MOST),
        since=None if since is None else Position(epoch=since.epoch, offset=since.offset),
        reverse=request.reverse,
    )


def _history_read(connection: Connection, number: int, answer: Answer) -> None:
    if isinstance(answer, HistoryRead):
        connection.reply(number, "history", protocol.history(answer))
    else:
        connection.refused(number, answer)


def presence(connection: Connection, number: int, request: PresenceRequest | PresenceStatsRequest) -> None:
    """Who of a room's members is connected, or how many are."""
    room = _room(connection, number, request.channel)
    if room is not None:
        stats = isinstance(request, PresenceStatsRequest)
        connection.question(ReadPresence, partial(_presence_read, connection, number, stats), room=room)


def _presence_read(connection: Connection, number: int, stats: bool, answer: Answer) -> None:
    if not isinstance(answer, Reply) or answer.result is None:
        connection.refused(number, answer)
        return
    there: Mapping[str, Any] = answer.result["presence"]
    if stats:
        counts = {"num_clients": len(there), "num_users": len({info["user"] for info in there.values()})}
        connection.reply(number, "presence_stats", to_json(counts))
    else:
        connection.reply(number, "presence", to_json({"presence": there}))


def _room(connection: Connection, number: int, channel: str) -> RoomId | None:
    """The room that may be asked about just now; None when the refusal has been sent."""
    room = protocol.room_of(channel)
    if room is None:
        connection.refuse(number, RpcError.of(ErrorCode.UNKNOWN_CHANNEL))
    elif connection.turns_away():
        connection.refuse(number, RpcError.of(ErrorCode.TOO_MANY_REQUESTS))
        return None
    return room

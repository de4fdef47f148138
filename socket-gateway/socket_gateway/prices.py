"""What a command counts for. A user has so many drops a second; some commands are dear to whoever answers them."""

from __future__ import annotations

from typing import Final

from socket_gateway.protocol import Command, HistoryRequest, Refused, RpcRequest

LARGE: Final = 4096
"""Bytes: for each so many a command counts once more. What people write is small; what is large is kept in memory."""
SEARCH: Final = 8
ROOMS: Final = 25
"""Of a list of rooms, each of which is read with its last message, so many count once more."""
EVENTS: Final = 125
"""The same of a channel's history."""
MEMBERS: Final = 20
"""The same of the first members of a room, of each of whom two things are asked."""
_MOST_ROOMS: Final = 200
_MOST_EVENTS: Final = 1000


def price(command: Command | Refused, size: int) -> int:
    """In drops, 1 at least. `size` in bytes."""
    drops = 1 + size // LARGE
    match command:
        case Command(request=RpcRequest(method="message.search")):
            return drops + SEARCH - 1
        case Command(request=RpcRequest(method="room.list") as request):
            return drops + _rooms(request.data) // ROOMS
        case Command(request=RpcRequest(method="room.create") as request):
            return drops + _members(request.data) // MEMBERS
        case Command(request=HistoryRequest(limit=limit)):
            return drops + (limit if 0 <= limit <= _MOST_EVENTS else _MOST_EVENTS) // EVENTS
    return drops


def _members(data: object) -> int:
    members = data.get("members") if isinstance(data, dict) else None
    return len(members) if isinstance(members, list) else 0


def _rooms(data: object) -> int:
    limit = data.get("limit") if isinstance(data, dict) else None
    return limit if isinstance(limit, int) and 0 <= limit <= _MOST_ROOMS else _MOST_ROOMS

"""Opening sessions and rooms: check the token, note the gateway, read the snapshot and what was missed.

Everything is written before it is read: the gateway is known to the user's rooms before their heads are read, so an
event is either in the snapshot or pushed to that gateway, or both, and the gateway drops the second one.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio.client import Pipeline

from chat_functions.copies import Copies
from chat_functions.numbering import RAISE_TOKEN
from chat_functions.redis_link import RedisLink, call
from chat_functions.rooms import View
from chat_functions.settings import Settings
from chat_functions.views import Views
from pulsar_data import redis_keys
from pulsar_data.deliveries import OpenedRoom, RoomOpened, SessionOpened
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.model import Model, RoomId
from pulsar_data.queries import ListRooms, OpenRoom, OpenSession
from pulsar_data.rooms import RoomSummary

SNAPSHOT = 200
"""Rooms of a snapshot; the others come by room.list."""


class RoomPage(Model):
    """Answer to room.list."""

    rooms: tuple[RoomSummary, ...]
    more: bool


class Sessions:
    """Raises RedisUnavailable, TablesUnavailable, ChatError; then nothing was opened, and it can be tried again."""

    def __init__(self, redis: RedisLink, copies: Copies, views: Views, settings: Settings) -> None:
        self._redis = redis
        self._copies = copies
        self._views = views
        self._settings = settings

    async def open(self, query: OpenSession) -> SessionOpened:
        """The snapshot. ChatError 101 if the token's session was revoked or its version is old."""
        account = await self._copies.account(query.user, query.session, query.version)
        if account is None:
            raise ChatError(ErrorCode.UNAUTHORIZED, "the session was revoked")
        if not query.rooms:
            return SessionOpened(request=query.request, user=account.profile)
        await self._redis.execute(lambda pipe, _: _raise_token(pipe, query))
        inbox = await self._copies.inbox(query.user)
        interest = (query.gateway, query.token)
        views = await self._views.read(inbox[:SNAPSHOT], query.user, query.deadline, query.positions, interest)
        opened = self._within_bytes([view for view in views if view is not None])
        return SessionOpened(request=query.request, user=account.profile, rooms=opened, more=len(inbox) > SNAPSHOT)

    async def open_room(self, query: OpenRoom) -> RoomOpened:
        """One room. ChatError 103 for anybody but a member, whether the room exists or not."""
        view = None
        if query.room in await self._copies.inbox(query.user):
            positions = {query.room: query.position} if query.position is not None else {}
            interest = (query.gateway, query.token)
            (view,) = await self._views.read([query.room], query.user, query.deadline, positions, interest)
        if view is None:
            raise ChatError(ErrorCode.PERMISSION_DENIED, "not a member of that room")
        return RoomOpened(request=query.request, room=self._within_bytes([view])[0])

    async def list_rooms(self, query: ListRooms) -> RoomPage:
        """A page of the inbox."""
        inbox = await self._copies.inbox(query.user)
        behind = [room for room in inbox if query.after is None or room > query.after]
        views = await self._views.read(behind[: query.limit], query.user, query.deadline)
        return RoomPage(rooms=tuple(view.summary for view in views if view), more=len(behind) > query.limit)

    def _within_bytes(self, views: Sequence[View]) -> tuple[OpenedRoom, ...]:
        """Recover at most so many bytes in all, rooms with the newest events first; the rest whole or not at all."""
        left = self._settings.recover_bytes
        recovered: set[RoomId] = set()
        for view in sorted(views, key=lambda view: -max((event.time for event in view.missed), default=0)):
            size = sum(len(event.to_json()) for event in view.missed)
            if view.recovered and size <= left:
                left -= size
                recovered.add(view.summary.room)
        return tuple(_opened(view, recovered=view.summary.room in recovered) for view in views)


def _opened(view: View, *, recovered: bool) -> OpenedRoom:
    return OpenedRoom(
        summary=view.summary, epoch=view.epoch, offset=view.offset, was_recovering=view.was_recovering,
        recovered=recovered, publications=view.missed if recovered else (),
    )  # fmt: skip


def _raise_token(pipe: Pipeline, query: OpenSession) -> None:
    call(pipe, RAISE_TOKEN, [redis_keys.user_gateways(query.user)], [query.gateway, query.token])

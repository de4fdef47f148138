"""Who of a room's members is connected: the gateways' entries in Redis of each member, read when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio.client import Pipeline

from chat_functions.copies import Copies
from chat_functions.numbering import LIVE_GATEWAYS
from chat_functions.redis_link import RedisLink, call
from chat_functions.settings import Settings
from chat_functions.views import Views
from pulsar_data import redis_keys
from pulsar_data.config import Live
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.model import RoomId, UserId
from pulsar_data.queries import ReadPresence

_AT_ONCE = 500
"""Members asked about in one round trip."""


class Presence:
    """Raises RedisUnavailable, TablesUnavailable, ChatError."""

    def __init__(self, redis: RedisLink, copies: Copies, views: Views, live: Live[Settings]) -> None:
        self._redis = redis
        self._copies = copies
        self._views = views
        self._live = live

    async def read(self, query: ReadPresence) -> dict[str, dict[str, str]]:
        """ClientInfo by client. ChatError 103 for anybody but a member, 108 if the room does not show it."""
        view = None
        if query.room in await self._copies.inbox(query.user):
            (view,) = await self._views.read([query.room], query.user, query.deadline)
        if view is None:
            raise ChatError(ErrorCode.PERMISSION_DENIED, "not a member of that room")
        if not view.summary.presence:
            raise ChatError(ErrorCode.NOT_AVAILABLE, "the room does not show presence")
        if view.summary.members > self._live.now.presence_members:
            raise ChatError(ErrorCode.NOT_AVAILABLE, "the room is too large to show presence")
        return await self._there(query.room)

    async def _there(self, room: RoomId) -> dict[str, dict[str, str]]:
        members, live = await self._redis.execute(lambda pipe, _: self._queue_members(pipe, room))
        there: dict[str, dict[str, str]] = {}
        for start in range(0, len(members), _AT_ONCE):
            users = [UserId(user) for user in members[start : start + _AT_ONCE]]
            for user, devices in zip(users, await self._devices(users), strict=True):
                there |= {client: {"user": user, "client": client} for client, at in devices.items() if at in live}
        return there

    def _queue_members(self, pipe: Pipeline, room: RoomId) -> None:
        pipe.hkeys(redis_keys.members(room))
        call(pipe, LIVE_GATEWAYS, [redis_keys.GATEWAYS], [self._live.now.gateway_age])

    async def _devices(self, users: Sequence[UserId]) -> Sequence[dict[str, str]]:
        def queue(pipe: Pipeline, _: str) -> Any:
            for user in users:
                pipe.hgetall(redis_keys.presence(user))

        return await self._redis.execute(queue)

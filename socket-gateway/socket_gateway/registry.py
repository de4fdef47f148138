"""Redis: this gateway's heartbeat, and its interest in rooms and users.

Redis may lose everything at any time. The signs are a heartbeat that is new although it was there, and another
`run_id` behind a new connection. Then interest is written again at once, and rooms catch up with what they missed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import redis.asyncio as redis
import structlog
from pydantic import ValidationError
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import RedisError

from pulsar_data import redis_keys
from pulsar_data.clock import Clock
from pulsar_data.events import ROOM_EVENT
from pulsar_data.model import RoomId
from socket_gateway.chunks import chunks
from socket_gateway.interest import Interest, RedisHead
from socket_gateway.presence import AGE, Presence
from socket_gateway.pushes import kept
from socket_gateway.settings import Limits

log = structlog.get_logger()

TIMEOUT: Final = 2.0
TROUBLE = (RedisError, OSError, asyncio.TimeoutError)

BEAT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return {redis.call('ZADD', KEYS[1], now, ARGV[1]), now}
"""
"""KEYS gateways; ARGV gateway id. By the clock of Redis, as the router reads it: nobody's wall clock counts.

Returns 1 if it was not there, and the time, ms."""
ASSERT: Final = """
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
local head = redis.call('HMGET', KEYS[2], 'epoch', 'voffset')
if not head[2] then return {0, 0} end
local missed = tonumber(head[2]) - tonumber(ARGV[3])
if missed > 0 and missed <= redis.call('LLEN', KEYS[3]) then
  for _, event in ipairs(redis.call('LRANGE', KEYS[3], -missed, -1)) do table.insert(head, event) end
end
return head
"""
"""KEYS interest, head, recent; ARGV gateway id, token, the offset that was pushed last.

Returns the room's epoch, visible offset, and the events between, all or none; zeros for a room that is lost."""
FORGET: Final = """
local token = redis.call('HGET', KEYS[1], ARGV[1])
if token and tonumber(token) <= tonumber(ARGV[2]) then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
"""
"""KEYS interest; ARGV gateway id, token. A younger opening has written a higher token: then nothing happens."""

RETIRE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return redis.call('ZADD', KEYS[1], 'XX', now - tonumber(ARGV[2]), ARGV[1])
"""
"""KEYS gateways; ARGV gateway id, ms. Its heartbeat is too old at once; others will tell who has not come back."""


class Registry:
    """`run` beats until it is cancelled; trouble with Redis is waited out."""

    def __init__(
        self, url: str, gateway_id: str, interest: Interest, presence: Presence, limits: Limits, clock: Clock
    ) -> None:
        pool = ConnectionPool.from_url(
            url, redis_connect_func=self._connected, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )
        self._redis = redis.Redis(connection_pool=pool)
        self._id = gateway_id
        self._interest = interest
        self._presence = presence
        self._limits = limits
        self._clock = clock
        self._beat_once = self._redis.register_script(BEAT)
        self._assert = self._redis.register_script(ASSERT)
        self._forget = self._redis.register_script(FORGET)
        self._retire = self._redis.register_script(RETIRE)
        self._run_id: str | None = None
        self._registered = False
        self._seen = 0.0

    @property
    def healthy(self) -> bool:
        """Registered, and seen by Redis within the last seconds."""
        return self._registered and time.monotonic() - self._seen < TIMEOUT + self._limits.heartbeat

    @property
    def unseen(self) -> float:
        """Seconds since Redis was seen; 0 before it ever was."""
        return time.monotonic() - self._seen if self._registered else 0.0

    async def run(self) -> None:
        """Heartbeat, interest and presence at every beat, at once where a room asks for it; a sweep now and then."""
        swept = touched = time.monotonic()
        while not _cancelled():
            await self._attempt("heartbeat", self._heartbeat)
            await self._attempt("interest", self._settle)
            await self._attempt("presence", lambda: self._presence.settle(self._redis))
            if time.monotonic() - swept >= self._limits.sweep:
                swept = time.monotonic()
                await self._attempt("sweep", self._compare)
                await self._attempt("undertaking", lambda: self._presence.bury(self._redis, self._limits.undertaking))
            if time.monotonic() - touched >= self._limits.touch:
                touched = time.monotonic()
                self._presence.rewrite()
            await self._interest.wait(self._limits.heartbeat)

    async def _attempt(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except TROUBLE as error:
            log.warning("redis_trouble", step=what, error=type(error).__name__)

    async def _connected(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        info = await connection.read_response()
        text = info.decode() if isinstance(info, bytes) else str(info)
        run_id = next((line[7:].strip() for line in text.splitlines() if line.startswith("run_id:")), None)
        known, self._run_id = self._run_id, run_id
        if known is not None and run_id != known:
            self._lost("redis_restarted")

    def _lost(self, event: str) -> None:
        log.warning(event)
        self._interest.lost()
        self._presence.rewrite()

    async def _heartbeat(self) -> None:
        asked = time.monotonic()
        added, now = await self._beat_once(keys=[redis_keys.GATEWAYS], args=[self._id])
        self._seen = time.monotonic()
        self._clock.heard(now / 1000, asked, self._seen)
        if added and self._registered:
            self._lost("redis_lost_registration")
        self._registered = True

    async def _settle(self) -> None:
        wanted = self._interest.wanted()
        try:
            for chunk in chunks(wanted):
                self._interest.compare(await self._heads(chunk))
        except TROUBLE:
            self._interest.put_back(wanted)  # for the next beat
            raise
        rooms, users = self._interest.unneeded()
        keys = [(redis_keys.interest(room), token) for room, token in rooms]
        keys += [(redis_keys.user_gateways(user), token) for user, token in users]
        for some in chunks(keys):
            async with self._redis.pipeline(transaction=False) as pipe:
                for key, token in some:
                    await self._forget(keys=[key], args=[self._id, token], client=pipe)
                await pipe.execute()

    async def _heads(self, rooms: Sequence[RoomId]) -> list[RedisHead]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for room in rooms:
                here = self._interest.hub.rooms().get(room)
                keys = [redis_keys.interest(room), redis_keys.head(room), redis_keys.recent(room)]
                args: list[str | int] = [self._id, self._interest.token, here.offset if here else 0]
                await self._assert(keys=keys, args=args, client=pipe)
            answers = await pipe.execute()
        return [_head(room, answer) for room, answer in zip(rooms, answers, strict=True)]

    async def _compare(self) -> None:
        for chunk in chunks(self._interest.held()):
            self._interest.compare(await self._heads(chunk))

    async def close(self) -> None:
        """Deregister, as far as Redis lets us; a dead gateway is recognised by its age anyway."""
        await self._attempt("deregister", self._leave)
        await self._redis.aclose()

    async def _leave(self) -> None:
        await self._settle()
        await self._retire(keys=[redis_keys.GATEWAYS], args=[self._id, round(AGE * 1000)])


def _cancelled() -> bool:
    """A library below may take a cancellation for a lost connection, and swallow it: then this loop must end itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _head(room: RoomId, answer: Sequence[bytes]) -> RedisHead:
    epoch, offset, *events = answer
    try:
        missed = [kept(ROOM_EVENT.validate_json(event)) for event in events]
    except ValidationError as error:  # of a later version than ours: as if Redis did not keep them
        log.error("event_unreadable", room=room, errors=error.error_count())
        missed = []
    return RedisHead(room, int(epoch), int(offset), missed)

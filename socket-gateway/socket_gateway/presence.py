"""Presence: which devices of which users are connected, in Redis, and who is told when a user comes or goes.

An entry `client -> gateway id` counts while its gateway has a heartbeat: nobody has to touch entries one by one, and
those of a gateway that died stop counting by themselves. One signal tells all gateways of a user who came or went,
whatever the number of rooms and members. Who reconnects within `absence` seconds never left.

A gateway without a heartbeat is buried by one of the others: its users are told of, and its interest is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import redis.asyncio as redis
import structlog

from pulsar_data import redis_keys
from pulsar_data.model import RoomId, UserId
from pulsar_data.signals import PresenceChanged
from socket_gateway.chunks import chunks
from socket_gateway.hub import Hub

log = structlog.get_logger()

TTL: Final = 3600
"""Seconds until an entry that nobody writes again is gone: of no gateway that lives."""
AGE: Final = 10.0
"""Seconds a heartbeat may be old, as chat-router has it."""
HERE: Final = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('HGETALL', KEYS[1])
"""
"""KEYS presence; ARGV client, gateway, seconds. Returns all entries: no two see themselves alone in the same moment."""
GONE: Final = """
redis.call('HDEL', KEYS[1], ARGV[1])
return redis.call('HGETALL', KEYS[1])
"""
"""KEYS presence; ARGV client. Returns the entries that remain."""
HEARTBEATS: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], now - tonumber(ARGV[1]), '+inf')
"""
"""KEYS gateways; ARGV ms. Returns the gateways whose last heartbeat is not older."""
BURY: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1]))
for _, gateway in ipairs(dead) do redis.call('ZREM', KEYS[1], gateway) end
return dead
"""
"""KEYS gateways; ARGV ms. Returns the gateways that have been without a heartbeat for longer: to one caller only."""
DISOWN: Final = """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
return redis.call('HDEL', KEYS[2], ARGV[1])
"""
"""KEYS gateways, interest; ARGV gateway id. Not if it is back: it writes its heartbeat, and then its interest anew."""


class Present(Protocol):
    """A connection as presence sees it."""

    @property
    def user(self) -> UserId:
        """Whose."""

    @property
    def client(self) -> str:
        """Its id, which nobody else has."""

    @property
    def rooms(self) -> Iterable[RoomId]:
        """Where it is."""


@dataclass(slots=True)
class _Entry:
    """What is to be written of one connection. `rooms`: whom to tell. `quiet`: nobody, as nothing has changed."""

    user: UserId
    online: bool
    rooms: tuple[RoomId, ...] = field(default=())
    quiet: bool = False


class Presence:
    """The connections of one gateway. All but `settle` and `bury` is synchronous; all belongs to the event loop."""

    def __init__(self, gateway: str, hub: Hub, later: Later, tell: Callable[[PresenceChanged], None]) -> None:
        """`tell` publishes a signal; `later` is loop.call_later."""
        self._gateway = gateway
        self._hub = hub
        self._later = later
        self._tell = tell
        self._here: dict[UserId, dict[str, Present]] = {}
        self._entries: dict[str, _Entry] = {}
        self._dead: set[str] = set()
        """Gateways that are ours to bury, of which not everybody was told yet."""

    def came(self, connection: Present) -> None:
        """A session is open."""
        self._here.setdefault(connection.user, {})[connection.client] = connection
        self._entries[connection.client] = _Entry(connection.user, True, self._rooms(connection))

    def went(self, connection: Present, absence: float) -> None:
        """A session has ended; it counts for `absence` seconds more."""
        devices = self._here.get(connection.user, {})
        devices.pop(connection.client, None)
        if not devices:
            self._here.pop(connection.user, None)
        entry = _Entry(connection.user, False, self._rooms(connection))
        self._later(absence, self._note, connection.client, entry)

    def _note(self, client: str, entry: _Entry) -> None:
        self._entries[client] = entry

    def entered(self, connection: Present, room: RoomId) -> None:
        """A connection is in one room more."""
        self._moved(connection, room, online=True)

    def left(self, connection: Present, room: RoomId) -> None:
        """A connection is about to leave a room, of which its user is no member any more."""
        self._moved(connection, room, online=False)

    def _moved(self, connection: Present, room: RoomId, *, online: bool) -> None:
        rooms = self._hub.shows_presence([room])
        if rooms:
            self._announce(connection.user, connection.client, rooms, online=online)
            self._rewrite([connection.user])

    def rewrite(self) -> None:
        """Write everybody who is here again: Redis may have lost it, or it is about to expire."""
        self._rewrite(self._here)

    def _rewrite(self, users: Iterable[UserId]) -> None:
        for user in users:
            for client in self._here.get(user, ()):
                self._entries.setdefault(client, _Entry(user, True, quiet=True))

    def _rooms(self, connection: Present) -> tuple[RoomId, ...]:
        return tuple(self._hub.shows_presence(list(connection.rooms)))

    async def settle(self, memory: redis.Redis) -> None:
        """Write what has changed, and tell of users who came or went by it. Raises what Redis raises: then again."""
        self._rewrite(self._hub.shown_since())
        changed, self._entries = self._entries, {}
        if not changed:
            return
        try:
            for some in chunks(list(changed.items())):
                await self._write(memory, some)
        except BaseException:
            self._entries = changed | self._entries
            raise

    async def _write(self, memory: redis.Redis, some: Sequence[tuple[str, _Entry]]) -> None:
        async with memory.pipeline(transaction=False) as pipe:
            pipe.eval(HEARTBEATS, 1, redis_keys.GATEWAYS, round(AGE * 1000))
            for client, entry in some:
                key = redis_keys.presence(entry.user)
                if entry.online:
                    pipe.eval(HERE, 1, key, client, self._gateway, TTL)
                else:
                    pipe.eval(GONE, 1, key, client)
            for user in {entry.user for _, entry in some}:
                self._index(pipe, user)
            pipe.expire(redis_keys.gateway_presence(self._gateway), TTL)
            heartbeats, *answers = await pipe.execute()
        live = {*_texts(heartbeats), self._gateway}
        for (client, entry), answer in zip(some, answers, strict=False):
            others = _entries(answer)
            others.pop(client, None)
            if not entry.quiet and live.isdisjoint(others.values()):
                self._announce(entry.user, client, entry.rooms, online=entry.online)

    def _index(self, pipe: redis.client.Pipeline, user: UserId) -> None:
        """Whom the others are to tell of if this gateway dies."""
        key, devices = redis_keys.gateway_presence(self._gateway), self._here.get(user)
        if devices is None:
            pipe.hdel(key, user)
        else:
            rooms = {room for connection in devices.values() for room in self._rooms(connection)}
            pipe.hset(key, user, ",".join(sorted(rooms)))

    def _announce(self, user: UserId, client: str, rooms: Sequence[RoomId], *, online: bool) -> None:
        if rooms:
            self._tell(PresenceChanged(user=user, client=client, online=online, rooms=tuple(rooms)))

    async def bury(self, memory: redis.Redis, age: float) -> None:
        """Tell of those who were connected to gateways that have had no heartbeat for `age` seconds, and remove what
        these wanted to hear of.

        Raises what Redis raises: then again.
        """
        self._dead.update(_texts(await memory.eval(BURY, 1, redis_keys.GATEWAYS, round(age * 1000))))
        if self._dead:  # one that was not buried at once may be back
            self._dead.difference_update(
                _texts(await memory.eval(HEARTBEATS, 1, redis_keys.GATEWAYS, round(AGE * 1000)))
            )
        for dead in list(self._dead):
            left = _entries(await memory.hgetall(redis_keys.gateway_presence(dead)))
            for some in chunks(list(left.items())):
                await self._bury(memory, dead, some)
            await disown(memory, dead, [UserId(user) for user in left])
            await memory.delete(redis_keys.gateway_presence(dead))
            self._dead.discard(dead)
            log.info("gateway_buried", gateway=dead)

    async def _bury(self, memory: redis.Redis, dead: str, some: Sequence[tuple[str, str]]) -> None:
        keys = [redis_keys.presence(UserId(user)) for user, _ in some]
        async with memory.pipeline(transaction=False) as pipe:
            pipe.eval(HEARTBEATS, 1, redis_keys.GATEWAYS, round(AGE * 1000))
            for key in keys:
                pipe.hgetall(key)
            heartbeats, *answers = await pipe.execute()
        live, found = set(_texts(heartbeats)), [_entries(answer) for answer in answers]
        async with memory.pipeline(transaction=False) as pipe:
            for key, entries in zip(keys, found, strict=True):
                for client in (client for client, gateway in entries.items() if gateway == dead):
                    pipe.hdel(key, client)
            await pipe.execute()
        for (user, rooms), entries in zip(some, found, strict=True):
            gone = [client for client, gateway in entries.items() if gateway == dead]
            if gone and rooms and live.isdisjoint(entries.values()):
                self._announce(UserId(user), gone[0], [RoomId(room) for room in rooms.split(",")], online=False)


async def disown(memory: redis.Redis, dead: str, users: Sequence[UserId]) -> None:
    """Remove a gateway's interest in its users and in all their rooms: whoever does not come back would leave it there
    for good, and each room that they are let into would have it as well.
    """
    rooms: set[RoomId] = set()
    for some in chunks(users):
        async with memory.pipeline(transaction=False) as pipe:
            for user in some:
                pipe.hkeys(redis_keys.user_rooms(user))
            for inbox in await pipe.execute():
                rooms.update(RoomId(room) for room in _texts(inbox))
    keys = [*(redis_keys.user_gateways(user) for user in users), *(redis_keys.interest(room) for room in rooms)]
    for part in chunks(keys):
        async with memory.pipeline(transaction=False) as pipe:
            for key in part:
                pipe.eval(DISOWN, 2, redis_keys.GATEWAYS, key, dead)
            await pipe.execute()


class Later(Protocol):
    """Something like loop.call_later."""

    def __call__(self, seconds: float, call: Callable[..., object], *args: Any) -> object:
        """Call once, later."""


def _texts(answer: Iterable[bytes]) -> list[str]:
    return [item.decode() for item in answer]


def _entries(answer: object) -> dict[str, str]:
    """Of HGETALL: a script's flat list, or the client's dict."""
    if isinstance(answer, dict):
        return {key.decode(): value.decode() for key, value in answer.items()}
    assert isinstance(answer, list)
    flat = _texts(answer)
    return dict(zip(flat[::2], flat[1::2], strict=True))

"""What a dead gateway wanted to hear of is removed from Redis; what one wants that is back is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import redis.asyncio

from pulsar_data import redis_keys
from pulsar_data.model import RoomId, UserId
from socket_gateway.backlog import Backlog
from socket_gateway.interest import Interest
from socket_gateway.presence import Presence, disown
from tests.running_stack import Stack

pytestmark = pytest.mark.anyio
USERS = [UserId(str(uuid4())) for _ in range(600)]
"""More than one pipeline has."""
ROOM = RoomId(str(uuid4()))
DEAD, LIVE = "gw-dead", "gw-live"


@pytest.fixture
async def memory(stack: Stack) -> AsyncIterator[redis.asyncio.Redis]:
    """A database of its own: the gateways of the stack would bury ours."""
    async with redis.asyncio.Redis.from_url(f"{stack.redis.url.rpartition('/')[0]}/1") as own:
        await own.flushdb()
        for user in USERS:
            await own.hset(redis_keys.user_rooms(user), ROOM, "1")
        for key in _interest():
            await own.hset(key, mapping={DEAD: "3", LIVE: "4"})
        await own.hset(redis_keys.gateway_presence(DEAD), mapping=dict.fromkeys(USERS, ""))
        await own.zadd(redis_keys.GATEWAYS, {DEAD: 1})
        yield own
        await own.flushdb()


async def test_what_a_dead_gateway_wanted_is_removed(memory: redis.asyncio.Redis) -> None:
    """Of all its users and their rooms. Others want them still."""
    presence = Presence(LIVE, Interest(Backlog(10)).hub, lambda *_: None, lambda _: None)
    await presence.bury(memory, 15.0)
    assert await _wanted_by(memory) == {(LIVE,)}
    assert await memory.exists(redis_keys.gateway_presence(DEAD), redis_keys.GATEWAYS) == 0


async def test_what_a_gateway_wants_that_is_back_stays(memory: redis.asyncio.Redis) -> None:
    """It may have written it anew while it was being buried."""
    await disown(memory, DEAD, USERS)
    assert await _wanted_by(memory) == {(DEAD, LIVE)}


def _interest() -> list[str]:
    return [*(redis_keys.user_gateways(user) for user in USERS), redis_keys.interest(ROOM)]


async def _wanted_by(memory: redis.asyncio.Redis) -> set[tuple[str, ...]]:
    return {tuple(sorted(_text(gateway) for gateway in await memory.hkeys(key))) for key in _interest()}


def _text(field: bytes | str) -> str:
    return field.decode() if isinstance(field, bytes) else field

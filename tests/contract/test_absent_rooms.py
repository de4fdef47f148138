"""What is asked of a room that does not exist, once and much later."""

from __future__ import annotations

import asyncio
import uuid

import pytest
import redis.asyncio

from pulsar_data import redis_keys
from pulsar_data.errors import ErrorCode
from pulsar_data.model import RoomId
from tests.clients.device import devices
from tests.clients.people import sign_up
from tests.cql import statements
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


async def test_a_room_that_is_not_there_is_none_when_that_was_forgotten_either(stack: Stack) -> None:
    """Its absence is noted for ten minutes. What the end of that note leaves behind must not hide the next one."""
    room = RoomId(str(uuid.uuid4()))
    (ada,) = await sign_up(stack.auth, 1)
    async with devices((ada, stack.gateways[0])) as (device,):
        assert await device.refused("message.send", room=room, text="anybody?") == ErrorCode.ROOM_NOT_FOUND
        await _forget(stack, room)
        assert await device.refused("message.send", room=room, text="anybody?") == ErrorCode.ROOM_NOT_FOUND


async def _forget(stack: Stack, room: RoomId) -> None:
    """As after ten minutes: a note that is over is a tombstone of its time."""
    place = stack.cassandra

    def bury() -> None:
        with statements(place) as execute:
            table = f"{place.keyspace}.room_heads"
            (noted,) = execute(f"SELECT writetime(epoch) AS time FROM {table} WHERE room_id = {room}")
            execute(f"DELETE offset, seq, epoch FROM {table} USING TIMESTAMP {noted.time} WHERE room_id = {room}")

    await asyncio.to_thread(bury)
    async with redis.asyncio.Redis.from_url(stack.redis.url) as memory:
        await memory.delete(redis_keys.head(room))

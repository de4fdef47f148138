"""A lost room comes back once, exactly, whoever rebuilds it, however slowly, and dies in the middle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pulsar
import pytest
import redis.asyncio

from chat_functions import room_log
from chat_functions.batching import CrashPoints
from chat_functions.event_schema import EventSchema
from chat_functions.numbering import SCRIPTS
from chat_functions.producers import TopicProducer
from chat_functions.rebuild import HOLD_EVERY, STATEMENTS, Rebuild, _Stored
from chat_functions.redis_link import RedisLink
from chat_functions.room_log import RoomLog
from chat_functions.settings import Settings
from chat_functions.tables import Tables
from pulsar_data import redis_keys, topics
from pulsar_data.clock import Clock
from pulsar_data.model import RoomId
from tests.contract.asking import sends
from tests.contract.conftest import House

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
AT_ONCE = 60
"""Rooms that one sender writes to at once: three times as many unknown ones as it may ask for in a minute."""


class Slow(Rebuild):
    """Stops in front of the seed, until told to go on."""

    def __init__(self, tables: Tables, link: RedisLink, events: TopicProducer) -> None:
        super().__init__(tables, link, events, Clock(), CrashPoints({}))
        self.there = asyncio.Event()
        self.go_on = asyncio.Event()

    async def _seed(self, room: RoomId, stored: _Stored) -> bool:
        self.there.set()
        await self.go_on.wait()
        return await super()._seed(room, stored)


class Silent(Slow):
    """And nothing is heard of it meanwhile."""

    async def _hold(self, room: RoomId, epoch: int) -> None:
        await asyncio.sleep(0)


@asynccontextmanager
async def another(house: House, kind: type[Slow]) -> AsyncIterator[Slow]:
    """Another instance that rebuilds."""
    place = house.stack.cassandra
    settings = Settings(
        cassandra=f"{place.host}:{place.port}", keyspace=place.keyspace, redis_url=house.stack.redis.url
    )
    client = pulsar.Client(house.stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    link, tables = RedisLink(house.stack.redis.url, SCRIPTS), Tables(settings)
    try:
        await tables.connect([*STATEMENTS, *room_log.STATEMENTS])
        yield kind(tables, link, TopicProducer(client, topics.EVENTS, schema=EventSchema()))
    finally:
        await link.close()
        await tables.close()
        await asyncio.to_thread(client.close)


async def lose(house: House, *rooms: str) -> None:
    """Redis loses rooms."""
    async with redis.asyncio.Redis.from_url(house.stack.redis.url) as memory:
        for room in rooms:
            await memory.delete(redis_keys.head(RoomId(room)), redis_keys.members(RoomId(room)))


async def lost_room(house: House) -> str:
    """One in which something was said before Redis lost it."""
    room = await house.room()
    await house.say(room, "before")
    await house.functions.until_idle()
    await lose(house, room)
    return room


async def check_whole(house: House, room: str, *texts: str) -> None:
    """The room has said this; also when all of it is stored, and Redis has forgotten it."""
    for _ in range(2):
        page = await house.rpc("message.list", {"room": room})
        assert [(message["seq"], message["text"]) for message in page["messages"]] == list(enumerate(texts, 1))
        await house.functions.until_idle()
        await lose(house, room)


async def test_nothing_is_said_while_somebody_rebuilds_and_if_it_dies_another_does(house: House) -> None:
    """What is said behind its marker under an older epoch would be void."""
    for _ in range(3):
        room = await lost_room(house)
        async with another(house, Slow) as slow:
            rebuilding = asyncio.create_task(slow.rebuild(RoomId(room)))
            await slow.there.wait()
            saying = asyncio.create_task(house.say(room, "after"))
            longest, said = await longest_pause(4.0), saying.done()
            rebuilding.cancel()
            await asyncio.wait([rebuilding])
            await asyncio.wait_for(saying, 10.0)
        await check_whole(house, room, "before", "after")
        if longest < HOLD_EVERY:  # else whoever rebuilds was taken for dead, and rightly
            break
    assert not said


async def longest_pause(seconds: float) -> float:
    """Wait for so long; the most that this process stood still meanwhile, in seconds."""
    pauses, end = [0.0], time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        await asyncio.sleep(0.05)
        pauses.append(time.monotonic() - began - 0.05)
    return max(pauses)


async def test_who_was_taken_for_dead_changes_nothing_any_more(house: House) -> None:
    """It finds the room there, with all that was said meanwhile."""
    room = await lost_room(house)
    async with another(house, Silent) as silent:
        rebuilding = asyncio.create_task(silent.rebuild(RoomId(room)))
        await silent.there.wait()
        await house.say(room, "meanwhile")
        silent.go_on.set()
        assert await asyncio.wait_for(rebuilding, 10.0)
    await house.say(room, "after")
    await check_whole(house, room, "before", "meanwhile", "after")


async def test_whoever_writes_to_many_lost_rooms_at_once_soon_reaches_all(house: House) -> None:
    """Asking for rooms that nobody knows is limited; to be refused does not count, or it would go on for ever."""
    rooms = [await house.room(grace=False) for _ in range(AT_ONCE)]
    await house.functions.until_idle()
    await lose(house, *rooms)
    waiting = set(rooms)

    async def say(room: str) -> None:
        (said,) = sends(house.asker, room, house.users[0], ["hello"])
        reply = await house.wires[0].ask(
            rpc={"method": "message.send", "data": {"room": room, "key": said.key, "text": "x"}}
        )
        if "rpc" in reply:
            waiting.discard(room)
        else:
            assert reply["error"]["temporary"], reply

    async with asyncio.timeout(30):
        while waiting:
            await asyncio.gather(*map(say, sorted(waiting)))
            await asyncio.sleep(0.5)


async def test_a_log_whose_end_redis_has_lost_is_not_whole(house: House) -> None:
    """Who was told the head before that must not be given less than all up to it."""
    room = RoomId(await house.room())
    await house.say(room, *(f"message {number}" for number in range(20)))
    await house.functions.until_idle()
    async with another(house, Slow) as instance:
        log = RoomLog(instance._redis, instance._tables)
        head = 21
        whole = await log.all(room, 1, head, 1 << 20)
        assert whole is not None
        assert [event.offset for event in whole] == list(range(1, head + 1))
        async with redis.asyncio.Redis.from_url(house.stack.redis.url) as memory:
            await memory.rpop(redis_keys.recent(room), 2)
        assert await log.all(room, 1, head, 1 << 20) is None

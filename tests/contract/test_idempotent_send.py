"""message.send is idempotent for ever: one key is one message, however often, wherever and whenever it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import redis.asyncio

from pulsar_data.errors import ErrorCode
from tests.clients.chat_client import ChatClient, Json
from tests.clients.people import sign_up
from tests.clients.socket import ErrorReply
from tests.clients.talkers import connected, fresh_key, make_room
from tests.faults import stored
from tests.faults.functions import Functions
from tests.faults.judge import Row
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


@dataclass
class Talk:
    """One person with a device on each gateway, in a room with another one."""

    stack: Stack
    devices: Sequence[ChatClient]
    room: str
    functions: Functions

    async def send(self, key: str, text: str = "once", device: int = 0) -> Json:
        """Send under this key. Raises ErrorReply if it is refused for good."""
        return await self.devices[device].rpc("message.send", {"room": self.room, "key": key, "text": text})

    async def rows(self) -> Sequence[Row]:
        """What is stored of the room, once everything is."""
        await self.functions.until_idle()
        rooms = await asyncio.to_thread(stored.read, self.stack.cassandra, [self.room])
        return rooms[self.room].messages if self.room in rooms else []

    async def assert_stored_once(self, key: str, answers: Sequence[Json]) -> None:
        """One row with that key, under the numbers of every answer; exactly one answer was the first."""
        numbers = {(answer["seq"], answer["offset"], answer["time"]) for answer in answers}
        assert len(numbers) == 1
        assert [(row.seq, row.offset) for row in await self.rows() if row.key == key] == [next(iter(numbers))[:2]]


@pytest.fixture
async def talk(stack: Stack) -> AsyncIterator[Talk]:
    """A new room."""
    async with AsyncExitStack() as open_things:
        functions = Functions(stack)
        open_things.push_async_callback(functions.close)
        ada, grace = await sign_up(stack.auth, 2)
        devices = await open_things.enter_async_context(connected(*((ada, gateway) for gateway in stack.gateways)))
        yield Talk(stack, devices, await make_room(devices, grace), functions)


async def test_a_key_that_is_sent_twice_is_one_message(talk: Talk) -> None:
    """The second answer has the first one's numbers, and says that it is a duplicate."""
    key = fresh_key()
    first, second = await talk.send(key), await talk.send(key)
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    await talk.assert_stored_once(key, [first, second])


async def test_a_key_that_is_sent_fifty_times_at_once_is_one_message(talk: Talk) -> None:
    """Fifty answers with the same numbers; one of them is not a duplicate."""
    key = fresh_key()
    answers = await asyncio.gather(*(talk.send(key) for _ in range(50)))
    assert sum(not answer["duplicate"] for answer in answers) == 1
    await talk.assert_stored_once(key, answers)


async def test_a_key_that_comes_over_two_gateways_at_once_is_one_message(talk: Talk) -> None:
    """As when a client is not sure that its first gateway got it."""
    key = fresh_key()
    answers = await asyncio.gather(*(talk.send(key, device=device) for device in (0, 1) for _ in range(5)))
    assert sum(not answer["duplicate"] for answer in answers) == 1
    await talk.assert_stored_once(key, answers)


async def test_a_key_is_remembered_when_redis_has_lost_everything(talk: Talk) -> None:
    """Cassandra knows it; and the next message has the next number."""
    key = fresh_key()
    first = await talk.send(key)
    await talk.rows()
    async with redis.asyncio.Redis.from_url(talk.stack.redis.url) as memory:
        await memory.flushall()
    again = await talk.send(key)
    following = await talk.send(fresh_key(), "another")
    assert again["duplicate"]
    assert (following["seq"], following["offset"]) == (first["seq"] + 1, first["offset"] + 1)
    await talk.assert_stored_once(key, [first, again])


async def test_a_key_with_another_text_is_a_conflict(talk: Talk) -> None:
    """407, whichever gateway it comes over; the first message stays as it is."""
    key = fresh_key()
    await talk.send(key, "first")
    for device in (0, 1):
        with pytest.raises(ErrorReply) as refused:
            await talk.send(key, "second", device=device)
        assert refused.value.code == ErrorCode.CONFLICT
    assert [row.text for row in await talk.rows()] == ["first"]


async def test_a_key_with_another_text_is_a_conflict_when_redis_has_lost_everything(talk: Talk) -> None:
    """What Cassandra knows of a key is its content too."""
    key = fresh_key()
    await talk.send(key, "first")
    await talk.rows()
    async with redis.asyncio.Redis.from_url(talk.stack.redis.url) as memory:
        await memory.flushall()
    with pytest.raises(ErrorReply) as refused:
        await talk.send(key, "second")
    assert refused.value.code == ErrorCode.CONFLICT
    assert [row.text for row in await talk.rows()] == ["first"]


async def test_a_key_is_of_one_sender_in_one_room(talk: Talk) -> None:
    """The same key in another room is another message."""
    key = fresh_key()
    await talk.send(key)
    other = await make_room(talk.devices)
    sent = await talk.devices[0].rpc("message.send", {"room": other, "key": key, "text": "once"})
    assert (sent["seq"], sent["duplicate"]) == (1, False)

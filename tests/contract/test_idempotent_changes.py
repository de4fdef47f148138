"""Every method that changes something is idempotent for ever: its key gives the first answer again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import redis.asyncio

from pulsar_data import rpc
from pulsar_data.errors import ErrorCode
from pulsar_data.ids import new_key
from tests.clients.chat_client import ChatClient, Json
from tests.clients.people import Person, sign_up
from tests.clients.socket import ErrorReply
from tests.clients.talkers import connected, make_room
from tests.faults.functions import Functions
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
TWO_DAYS = 48 * 3_600_000
READS = {"message.list", "message.search", "room.list", "room.get", "member.list", "user.get", "user.find"}
UNKEYED = {"message.read"}
"""It never goes back, whatever is repeated."""


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


@dataclass
class Deed:
    """A change, who makes it, and the first answer."""

    device: ChatClient
    method: str
    data: dict[str, Any]
    answer: Json

    async def again(self) -> Json:
        """The same once more."""
        return await self.device.rpc(self.method, self.data)


@dataclass
class Story:
    """Everything that can be done in a room and a channel, once."""

    stack: Stack
    functions: Functions
    ada: ChatClient
    grace: ChatClient
    age: int
    """ms that the keys are old."""
    deeds: list[Deed]

    async def do(self, device: ChatClient, method: str, **data: Any) -> Json:
        """Do it, and remember it."""
        data["key"] = new_key(time.time_ns() // 1_000_000 - self.age)
        answer = await device.rpc(method, data)
        self.deeds.append(Deed(device, method, data, answer))
        return answer

    async def tell(self, group: str, grace: str, lin: str) -> None:
        """Do it all; grace has left and lin is banned in the end."""
        ada = self.ada
        channel = (await self.do(ada, "room.create", kind="channel", name="News"))["room"]
        await self.do(self.grace, "room.join", room=channel)
        await self.do(ada, "room.update", room=group, topic="Tea")
        for text in ("one", "two"):
            await self.do(self.grace, "message.send", room=group, text=text)
        await self.do(self.grace, "message.edit", room=group, seq=1, text="once")
        await self.do(ada, "reaction.add", room=group, seq=1, emoji="👍")
        await self.do(ada, "reaction.remove", room=group, seq=1, emoji="👍")
        await self.do(ada, "message.delete", room=group, seq=2)
        await self.do(ada, "member.add", room=group, user=lin)
        await self.do(ada, "member.role", room=group, user=lin, role="moderator")
        await self.do(ada, "member.mute", room=group, user=lin, until=5)
        await self.do(ada, "member.remove", room=group, user=lin)
        await self.do(ada, "member.ban", room=group, user=lin)
        await self.do(self.grace, "room.leave", room=group)

    async def assert_first_answers(self) -> None:
        """Whoever repeats a change is told what it was told first, and nothing happens again."""
        await self.functions.until_idle()
        for deed in self.deeds:
            if deed.method == "room.create":
                assert (await deed.again())["room"] == deed.answer["room"]
            else:
                assert await deed.again() == {**deed.answer, "duplicate": True}, deed.method
        last = max(deed.answer.get("offset", 0) for deed in self.deeds)
        sent = await self.do(self.ada, "message.send", room=self.deeds[2].data["room"], text="next")
        assert sent["offset"] == last + 1

    async def assert_conflicts(self, devices: Sequence[Deed]) -> None:
        """A key with another content is refused."""
        for deed in devices:
            with pytest.raises(ErrorReply) as refused:
                await deed.device.rpc(deed.method, {**deed.data, "seq": 2})
            assert refused.value.code == ErrorCode.CONFLICT


@pytest.fixture
async def people(stack: Stack) -> list[Person]:
    """Ada, Grace and Lin."""
    return await sign_up(stack.auth, 3)


@pytest.fixture
async def open_things() -> AsyncIterator[AsyncExitStack]:
    """Closed at the end."""
    async with AsyncExitStack() as things:
        yield things


async def told(stack: Stack, people: list[Person], open_things: AsyncExitStack, age: int) -> Story:
    """The story, told with keys of that age."""
    functions = Functions(stack)
    open_things.push_async_callback(functions.close)
    ada, grace, lin = people
    homes = [(ada, stack.gateways[0]), (grace, stack.gateways[-1])]
    devices = await open_things.enter_async_context(connected(*homes))
    story = Story(stack, functions, devices[0], devices[1], age, [])
    await story.tell(await make_room(devices, grace), grace.user, lin.user)
    return story


async def test_every_change_is_in_the_story(stack: Stack, people: list[Person], open_things: AsyncExitStack) -> None:
    """Right after Redis has lost everything all of them are still known, and what they were."""
    story = await told(stack, people, open_things, age=0)
    assert {deed.method for deed in story.deeds} == set(rpc.METHODS) - READS - UNKEYED
    await story.functions.until_idle()
    async with redis.asyncio.Redis.from_url(stack.redis.url) as memory:
        await memory.flushall()
    await story.assert_first_answers()
    await story.assert_conflicts([deed for deed in story.deeds if deed.method in ("message.edit", "reaction.add")])


async def test_a_change_is_known_after_two_days(
    stack: Stack, people: list[Person], open_things: AsyncExitStack
) -> None:
    """When Redis has forgotten the keys, as it does after one."""
    story = await told(stack, people, open_things, age=TWO_DAYS)
    await story.functions.until_idle()
    async with redis.asyncio.Redis.from_url(stack.redis.url) as memory:
        keys = [key async for key in memory.scan_iter(match="room:*:key:*", count=1000)]
        await memory.delete(*keys)
    await story.assert_first_answers()

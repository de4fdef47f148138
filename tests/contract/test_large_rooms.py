"""A room of as many members as there may be works like any other."""

from __future__ import annotations

import statistics
import time
import uuid
from typing import Any

import pytest
import redis.asyncio

from chat_functions.rows import WRITE_MEMBER
from chat_functions.settings import Settings
from chat_functions.tables import Tables, TablesUnavailable, batch
from pulsar_data import redis_keys
from pulsar_data.errors import ErrorCode
from pulsar_data.model import RoomId
from tests.clients.device import Device, devices, group
from tests.clients.people import sign_up
from tests.clients.waiting import until
from tests.faults.functions import Functions
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
FULL = Settings().member_limit


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


async def fill(stack: Stack, room: str, count: int) -> None:
    """So many members more, as message-store would have written them."""
    place = stack.cassandra
    tables = Tables(Settings(cassandra=f"{place.host}:{place.port}", keyspace=place.keyspace))
    await tables.connect([WRITE_MEMBER])
    rows = [[uuid.UUID(room), uuid.uuid4(), "member", 0, 1, 1, 1] for _ in range(count)]
    for start in range(0, count, 100):
        together = batch([tables.bind(WRITE_MEMBER, row) for row in rows[start : start + 100]])

        async def written(together: Any = together) -> bool:
            (answer,) = await tables.execute([together])
            assert answer == [] or isinstance(answer, TablesUnavailable), answer
            return answer == []

        await until("a hundred of them are written", written, 30)
    await tables.close()


async def test_a_full_room_works(stack: Stack) -> None:
    """It is rebuilt whole, takes messages and nobody more, and tells only the reader what was read."""
    functions = Functions(stack)
    ada, grace, lin = await sign_up(stack.auth, 3)
    async with devices((ada, stack.gateways[0]), (grace, stack.gateways[-1])) as (owner, member):
        room = await group(owner, member)
        await functions.until_idle()
        await functions.close()
        await fill(stack, room, FULL - 2)
        async with redis.asyncio.Redis.from_url(stack.redis.url) as memory:
            await memory.delete(redis_keys.head(RoomId(room)), redis_keys.members(RoomId(room)))
        sent = await owner.call("message.send", room=room, text="hello")
        assert (sent["seq"], sent["offset"]) == (1, 2)
        assert await owner.refused("member.add", room=room, user=lin.user) == ErrorCode.ROOM_FULL
        await member.call("message.read", room=room, seq=1)
        await owner.call("message.send", room=room, text="goodbye")
        await owner.push("the second message", lambda push: push.get("pub", {}).get("offset") == 3)
        assert "message_read" not in owner.events(room)
        summaries = {one["room"]: one for one in (await member.call("room.list"))["rooms"]}
        assert (summaries[room]["members"], summaries[room]["read_seq"]) == (FULL, 1)
        await member.call("room.leave", room=room)
        await owner.call("member.add", room=room, user=lin.user)


@pytest.mark.quiet
async def test_a_message_costs_no_more_in_a_full_room(stack: Stack) -> None:
    """By the medians of sends into a full room and a small one by turns. The members of the full one come in pages."""
    functions = Functions(stack)
    (ada,) = await sign_up(stack.auth, 1)
    async with devices((ada, stack.gateways[0])) as (owner,):
        full, small = await group(owner), await group(owner)
        await functions.until_idle()
        await functions.close()
        await fill(stack, full, FULL - 1)
        async with redis.asyncio.Redis.from_url(stack.redis.url) as memory:
            for lost in (full, small):  # both: a room that was rebuilt looks keys up for a while, whatever its size
                await memory.delete(redis_keys.head(RoomId(lost)), redis_keys.members(RoomId(lost)))
        times: dict[str, list[float]] = {full: [], small: []}
        for number in range(61):
            for room, taken in times.items():
                began = time.monotonic()
                await owner.call("message.send", room=room, text=f"message {number}")
                taken.append(time.monotonic() - began)
        in_full, in_small = (statistics.median(times[room]) for room in (full, small))
        assert in_full < in_small * 1.5, f"{in_full * 1000:.1f} ms against {in_small * 1000:.1f} ms"
        assert len(await everybody(owner, full)) == FULL


async def everybody(device: Device, room: str) -> set[str]:
    """All members, page by page."""
    users: list[str] = []
    while True:
        after = {"after": users[-1]} if users else {}
        page = await device.call("member.list", room=room, limit=1000, **after)
        users += [member["user"] for member in page["members"]]
        if not page["more"]:
            return set(users)

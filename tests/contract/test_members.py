"""Who is in a room, and as what: told to every member, and to whoever enters or leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import redis.asyncio

from pulsar_data.errors import ErrorCode
from tests.clients.device import Device, Json, devices, group
from tests.clients.people import sign_up
from tests.clients.waiting import until
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
HOUR = 3_600_000


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


@dataclass
class People:
    """Ada, Grace and Lin, each with a device."""

    stack: Stack
    ada: Device
    grace: Device
    lin: Device

    @property
    def all(self) -> tuple[Device, Device, Device]:
        """Everybody."""
        return self.ada, self.grace, self.lin


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    """New people, on different gateways."""
    async with AsyncExitStack() as open_things:
        persons = await sign_up(stack.auth, 3)
        homes = [stack.gateways[0], stack.gateways[-1], stack.gateways[0]]
        yield People(stack, *await open_things.enter_async_context(devices(*zip(persons, homes, strict=True))))


async def rooms(device: Device) -> dict[str, Json]:
    """The device's rooms."""
    return {room["room"]: room for room in (await device.call("room.list"))["rooms"]}


def leaves(room: str) -> object:
    """Whether a push takes the device out of a room."""
    return lambda push: push.get("channel") == f"room:{room}" and "unsubscribe" in push


async def gone(device: Device, room: str) -> None:
    """Wait until the device is told that it is out."""
    await device.push("unsubscribe", leaves(room))  # type: ignore[arg-type]


async def test_who_is_removed_is_out_and_can_be_added_again(people: People) -> None:
    """The others are told, its device leaves the room, its list does not show it; and then all begins anew."""
    ada, grace, lin = people.all
    room = await group(ada, grace, lin)
    for device, operation in ((lin, "member.remove"), (grace, "room.leave")):
        if operation == "room.leave":
            await grace.call("room.leave", room=room)
        else:
            await ada.call(operation, room=room, user=device.user)
        await gone(device, room)
        assert device.events(room)[-1] == "member_left"
        assert await device.refused("message.send", room=room, text="x") == ErrorCode.NOT_A_MEMBER
        assert room not in await rooms(device)
    sent = await ada.call("message.send", room=room, text="alone")
    grace.pushes.clear()
    await ada.call("member.add", room=room, user=grace.user)
    push = await grace.push("subscribe", lambda push: push.get("channel") == f"room:{room}" and "subscribe" in push)
    summary = push["subscribe"]["data"]
    assert (summary["read_seq"], summary["unread"], summary["members"]) == (sent["seq"], 0, 2)
    await grace.call("message.send", room=room, text="back")


async def test_roles_mutes_and_bans_survive_the_loss_of_redis(people: People) -> None:
    """And the room's name, topic, and all else that it is; the last owner still cannot go."""
    ada, grace, lin = people.all
    room = await group(ada, grace, lin)
    await ada.call("room.update", room=room, name="Ours", topic="All", presence=True, retention_days=7)
    await ada.call("member.role", room=room, user=grace.user, role="moderator")
    assert await grace.refused("member.role", room=room, user=lin.user, role="owner") == ErrorCode.PERMISSION_DENIED
    await grace.call("member.mute", room=room, user=lin.user, until=int(time.time() * 1000) + HOUR)
    assert (await lin.event(room, "member_muted"))["data"]["user"] == lin.user
    async with AsyncExitStack() as open_things:
        (stranger,) = await sign_up(people.stack.auth, 1)
        await ada.call("member.ban", room=room, user=stranger.user)
        async with redis.asyncio.Redis.from_url(people.stack.redis.url) as memory:
            await memory.flushall()
        (outcast,) = await open_things.enter_async_context(devices((stranger, people.stack.gateways[0])))
        assert await outcast.refused("message.send", room=room, text="x") == ErrorCode.BANNED
        assert await ada.refused("member.add", room=room, user=stranger.user) == ErrorCode.BANNED
        assert await lin.refused("message.send", room=room, text="x") == ErrorCode.MUTED
        assert await ada.refused("room.leave", room=room) == ErrorCode.CONFLICT
        assert await grace.refused("member.remove", room=room, user=ada.user) == ErrorCode.PERMISSION_DENIED
        await grace.call("member.mute", room=room, user=lin.user, until=0)
        await lin.call("message.send", room=room, text="free")
        await grace.call("member.ban", room=room, user=stranger.user, banned=False)
        await grace.call("member.add", room=room, user=stranger.user)
        summary = (await rooms(outcast))[room]
        assert (summary["name"], summary["topic"], summary["members"]) == ("Ours", "All", 4)


async def test_a_pair_has_one_direct_room_whoever_starts_it(people: People) -> None:
    """Even when both start at the same time; nobody else comes in, and nobody is thrown out."""
    ada, grace, lin = people.all
    started = await asyncio.gather(
        *(
            one.call("room.create", kind="direct", members=[other.user])
            for one, other in ((ada, grace), (grace, ada))
            for _ in range(3)
        )
    )
    assert len({made["room"] for made in started}) == 1
    room = started[0]["room"]
    assert {made["members"] for made in started} == {2}
    for device in (ada, grace):
        await device.entered(room)
        await device.call("message.send", room=room, text="hello")
        assert (await rooms(device))[room]["kind"] == "direct"
    assert await ada.refused("member.add", room=room, user=lin.user) == ErrorCode.PERMISSION_DENIED
    assert await ada.refused("member.remove", room=room, user=grace.user) == ErrorCode.PERMISSION_DENIED
    assert await ada.refused("room.leave", room=room) == ErrorCode.PERMISSION_DENIED
    await grace.call("room.update", room=room, presence=True)


async def test_anybody_joins_a_channel(people: People) -> None:
    """But no group; who joins finds everything before it read, and is told again when it joins again."""
    ada, grace, lin = people.all
    channel, closed = await group(ada, kind="channel"), await group(ada)
    sent = await ada.call("message.send", room=channel, text="news")
    joined = await grace.call("room.join", room=channel)
    await grace.entered(channel)
    again = await grace.call("room.join", room=channel)
    assert (again["offset"], again["duplicate"]) == (joined["offset"], True)
    assert (await ada.event(channel, "member_joined"))["data"]["user"] == grace.user
    assert (await rooms(grace))[channel]["read_seq"] == sent["seq"]
    assert await grace.refused("room.join", room=closed) == ErrorCode.PERMISSION_DENIED
    assert await ada.refused("room.leave", room=channel) == ErrorCode.CONFLICT
    await ada.call("member.ban", room=channel, user=lin.user)
    assert await lin.refused("room.join", room=channel) == ErrorCode.BANNED


async def test_a_room_is_updated_by_those_who_may(people: People) -> None:
    """Every member is told what has changed; what is not named stays."""
    ada, grace, _ = people.all
    room = await group(ada, grace)
    assert await grace.refused("room.update", room=room, name="Mine") == ErrorCode.PERMISSION_DENIED
    assert await ada.refused("room.update", room=room) == ErrorCode.BAD_REQUEST
    await ada.call("room.update", room=room, topic="Tea")
    event = (await grace.event(room, "room_updated"))["data"]
    assert event["topic"] == "Tea"
    assert "name" not in event
    await ada.call("room.update", room=room, name="Kitchen")
    summary = (await rooms(grace))[room]
    assert (summary["name"], summary["topic"]) == ("Kitchen", "Tea")


async def test_users_who_do_not_exist_enter_nothing(people: People) -> None:
    """402, for adding, banning and making a room."""
    ada, grace, _ = people.all
    room = await group(ada, grace)
    nobody = "00000000-0000-4000-8000-000000000001"
    assert await ada.refused("member.add", room=room, user=nobody) == ErrorCode.USER_NOT_FOUND
    assert await ada.refused("member.ban", room=room, user=nobody) == ErrorCode.USER_NOT_FOUND
    assert await ada.refused("room.create", kind="direct", members=[nobody]) == ErrorCode.USER_NOT_FOUND
    assert await grace.refused("member.add", room=room, user=nobody) == ErrorCode.PERMISSION_DENIED


async def test_a_read_mark_rises_on_every_device_and_survives(people: People) -> None:
    """The reader's other devices and the members are told; it never falls, and Redis may lose it."""
    ada, grace, lin = people.all
    room = await group(ada, grace, lin)
    for text in ("one", "two", "three"):
        await ada.call("message.send", room=room, text=text)
    assert await grace.call("message.read", room=room, seq=2) == {}
    assert await grace.call("message.read", room=room, seq=1) == {}
    assert await grace.refused("message.read", room=room, seq=9) == ErrorCode.MESSAGE_NOT_FOUND
    read = await lin.event(room, "message_read")
    assert (read["data"]["actor"], read["data"]["seq"]) == (grace.user, 2)
    assert "offset" not in read

    def told_reader(push: Json) -> Json:
        news: Json = push.get("pub", {}).get("data", {}) if push.get("channel") == f"user:{grace.user}" else {}
        return {"room": news["room"], "seq": news["seq"]} if news.get("type") == "message_read" else {}

    await grace.push("news of the mark", lambda push: told_reader(push) == {"room": room, "seq": 2})

    async def marks() -> tuple[int, int]:
        summary = (await rooms(grace))[room]
        return summary["read_seq"], summary["unread"]

    assert await marks() == (2, 1)
    async with redis.asyncio.Redis.from_url(people.stack.redis.url) as memory:
        await memory.flushall()

    async def as_before() -> bool:  # who is in the room may not have been stored yet, when Redis lost it
        return room in await rooms(grace) and await marks() == (2, 1)

    await until("the mark is back", as_before, 30)
    await ada.call("message.send", room=room, text="four")
    assert await marks() == (2, 2)


async def test_a_full_last_page_of_members_is_the_last(people: People) -> None:
    """Also where only people who are kept out come behind."""
    ada, grace, lin = people.all
    room = await group(ada, grace)
    await ada.call("member.ban", room=room, user=lin.user)
    seen: list[str] = []
    while True:
        page = await ada.call("member.list", room=room, limit=1, **({"after": seen[-1]} if seen else {}))
        seen += [member["user"] for member in page["members"]]
        if not page["more"]:
            break
        assert page["members"]
    assert set(seen) == {ada.user, grace.user}

"""What a client finds when it comes back, on whichever gateway: everything that is in no room's log, too."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis.asyncio

from pulsar_data.errors import ErrorCode
from pulsar_data.ids import new_key
from pulsar_data.queries import GetRoom, OpenRoom, Position, ReadHistory
from tests.contract.conftest import House
from tests.gateway.client import Json, session

pytestmark = [pytest.mark.stack, pytest.mark.anyio]


async def change(house: House, method: str, person: int = 0, **data: Any) -> Json:
    """A change under a fresh key."""
    return await house.rpc(method, {"key": new_key(time.time_ns() // 1_000_000), **data}, person)


async def snapshot(house: House, person: int, gateway: int) -> dict[str, Json]:
    """The rooms of a fresh connection, by id."""
    async with session(house.stack.gateways[gateway], house.people[person].token) as (_, welcome):
        channels = {channel for channel in welcome["subs"] if channel.startswith("room:")}
        rooms: dict[str, Json] = {room["room"]: room for room in welcome["data"]["rooms"]}
        assert channels == {f"room:{room}" for room in rooms}
        return rooms


async def test_the_snapshot_has_what_happened_meanwhile(house: House) -> None:
    """Rooms entered and left, marks moved on another device, a changed name, the last message as it is now."""
    stays, leaves = await house.room(), await house.room()
    await house.say(stays, "one", "two", "three")
    before = await snapshot(house, person=1, gateway=1)
    assert before.keys() == {stays, leaves}
    assert before[stays]["unread"] == 3

    await house.rpc("message.read", {"room": stays, "seq": 2}, person=1)
    await change(house, "member.remove", room=leaves, user=house.users[1])
    await change(house, "room.update", room=stays, name="Renamed", presence=True)
    await change(house, "message.edit", room=stays, seq=3, text="third")
    await change(house, "reaction.add", room=stays, seq=3, emoji="👍")
    enters = await house.room()

    for gateway in (0, 1):
        after = await snapshot(house, person=1, gateway=gateway)
        assert after.keys() == {stays, enters}
        room = after[stays]
        assert (room["unread"], room["read_seq"], room["name"], room["presence"]) == (1, 2, "Renamed", True)
        assert room["last_message"]["text"] == "third"
    assert await house.refusal("message.list", {"room": leaves}, person=1) == ErrorCode.NOT_A_MEMBER

    await change(house, "message.delete", room=stays, seq=3)
    last = (await house.rpc("room.get", {"room": stays}, person=1))["last_message"]
    assert (last["seq"], last["deleted"], last["text"]) == (3, True, "")


async def test_unread_counts_survive_a_loss_of_redis(house: House) -> None:
    """What was read and what was sent is known again, from the tables."""
    room = await house.room()
    await house.say(room, "one", "two", "three")
    await house.rpc("message.read", {"room": room, "seq": 1}, person=1)
    await house.functions.until_idle()
    async with redis.asyncio.Redis.from_url(house.stack.redis.url) as memory:
        await memory.flushall()
    for person, unread in ((0, 0), (1, 2)):  # not over the sockets: they are asked to come back
        answer = await house.ask(GetRoom, person=person, room=room)
        assert answer.result is not None  # type: ignore[union-attr]
        assert answer.result["unread"] == unread  # type: ignore[union-attr]


async def test_who_is_banned_from_a_channel_reads_nothing_in_it(house: House) -> None:
    """Whoever else has not joined does."""
    room = await house.room(grace=False, kind="channel")
    await house.say(room, "welcome")
    await change(house, "room.join", room=room, person=1)
    await change(house, "member.ban", room=room, user=house.users[1])
    for method in ("message.list", "room.get", "member.list"):
        assert await house.refusal(method, {"room": room}, person=1) == ErrorCode.NOT_A_MEMBER
    assert (await snapshot(house, person=1, gateway=0)) == {}
    members = (await house.rpc("member.list", {"room": room}))["members"]
    assert [one["user"] for one in members] == [house.users[0]]


async def test_whoever_joins_a_room_that_begins_at_joining_reads_nothing_older(house: House) -> None:
    """Neither by a list, nor by a search, a summary, a history, or a recovery with an older position."""
    room = await house.room(grace=False, history="from_join")
    await house.say(room, "secret one", "secret two")
    await change(house, "member.add", room=room, user=house.users[1])
    joined = await house.rpc("room.get", {"room": room}, person=1)
    assert (joined["unread"], "last_message" in joined, joined["history"]) == (0, False, "from_join")
    await house.say(room, "no secret")
    page = await house.rpc("message.list", {"room": room, "after": 0}, person=1)
    assert ([message["seq"] for message in page["messages"]], page["more"]) == ([3], False)
    found = await house.rpc("message.search", {"room": room, "query": "secret"}, person=1)
    assert [message["seq"] for message in found["messages"]] == [3]
    past = await house.ask(ReadHistory, person=1, room=room, limit=50)
    assert [event.type for event in past.publications] == ["member_joined", "message_sent"]  # type: ignore[union-attr]
    head = page["head"]
    for offset, recovered in ((head["offset"] - 1, True), (1, False)):
        position = Position(epoch=head["epoch"], offset=offset)
        answer = await house.ask(OpenRoom, person=1, room=room, token=1, position=position)
        assert answer.room.recovered is recovered  # type: ignore[union-attr]
    assert len((await house.rpc("message.list", {"room": room}))["messages"]) == 3

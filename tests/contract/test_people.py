"""Rooms, members and people: lists that page, however long they are."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

import httpx
import pytest

from pulsar_data.errors import ErrorCode
from tests.contract.asking import new_room
from tests.contract.conftest import House
from tests.cql import statements
from tests.gateway.client import Json
from tests.gateway.client import session as connected
from tests.patient import AsyncPatient
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]


def enroll(stack: Stack, count: int) -> Sequence[str]:
    """So many users, as user-auth would have made them, but without their passwords."""
    users = sorted(str(uuid.uuid4()) for _ in range(count))
    place = stack.cassandra
    with statements(place) as execute:
        for user in users:
            execute(
                f"INSERT INTO {place.keyspace}.users_by_id (user_id, username, token_version, state)"
                f" VALUES ({user}, 'm{user[:12]}', 1, 'active') USING TIMESTAMP 1000"
            )
    return users


async def test_a_long_list_of_members_comes_in_pages(house: House) -> None:
    """Each member once, in one order, whether stored or not; each with its role."""
    crowd = await asyncio.to_thread(enroll, house.stack, 120)
    ada = house.users[0]
    wanted = new_room(house.asker, ada, *crowd)
    await asyncio.to_thread(house.asker.command_all, [wanted])
    for _ in ("fresh", "stored"):
        seen: list[Json] = []
        page: Json = {"more": True}
        while page["more"]:
            after = {"after": seen[-1]["user"]} if seen else {}
            page = await house.rpc("member.list", {"room": wanted.room, "limit": 50, **after})
            assert len(page["members"]) <= 50
            seen += page["members"]
        assert [member["user"] for member in seen] == sorted([ada, *crowd])
        assert {member["role"] for member in seen if member["user"] == ada} == {"owner"}
        assert all(member["joined_at"] > 0 for member in seen)
        await house.functions.until_idle()


async def test_a_snapshot_says_that_there_are_more_rooms_and_room_list_pages(house: House) -> None:
    """200 rooms in the snapshot; the others by room.list, each once."""
    ada = house.users[0]
    wanted = [new_room(house.asker, ada) for _ in range(203)]
    await asyncio.to_thread(house.asker.command_all, wanted)
    async with connected(house.stack.gateways[0], house.people[0].token) as (_, welcome):
        snapshot = welcome["data"]
    assert (len(snapshot["rooms"]), snapshot["more"]) == (200, True)
    last = snapshot["rooms"][-1]["room"]
    rest = await house.rpc("room.list", {"after": last})
    assert (len(rest["rooms"]), rest["more"]) == (3, False)
    some = await house.rpc("room.list", {"limit": 7})
    assert (len(some["rooms"]), some["more"]) == (7, True)
    everything = {room["room"] for room in [*snapshot["rooms"], *rest["rooms"]]}
    assert everything == {command.room for command in wanted}


async def test_anybody_may_know_the_public_profile_of_somebody(house: House) -> None:
    """By id or by name, however it is typed; of nobody else, and no secret."""
    grace = house.users[1]
    hers = {"Authorization": f"Bearer {house.people[1].token}"}
    async with httpx.AsyncClient(base_url=house.stack.auth, transport=AsyncPatient(), timeout=30) as http:
        own = (await http.get("/user/me", headers=hers)).json()
    found = await house.rpc("user.get", {"user": grace})
    assert (found["user_id"], found["username"]) == (grace, own["username"])
    assert await house.rpc("user.find", {"username": own["username"].upper()}) == found
    assert found.keys() <= {"user_id", "username", "display_name", "bio"}
    assert await house.refusal("user.get", {"user": str(uuid.uuid4())}) == ErrorCode.USER_NOT_FOUND
    assert await house.refusal("user.find", {"username": "nobody-has-this-name"}) == ErrorCode.USER_NOT_FOUND


async def test_unread_counts_what_others_said_and_one_has_not_read(house: House) -> None:
    """In every summary: right after a send, for the sender and for the others."""
    room = await house.room()
    await house.say(room, "one", "two")
    await house.say(room, "three", person=1)
    for person, unread in ((0, 1), (1, 0)):
        summary = await house.rpc("room.get", {"room": room}, person=person)
        assert (summary["head"]["seq"], summary["unread"]) == (3, unread)
        listed = (await house.rpc("room.list", {}, person=person))["rooms"]
        assert [one["unread"] for one in listed if one["room"] == room] == [unread]

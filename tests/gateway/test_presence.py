"""Presence: who is there, who comes and goes, whoever dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from socket_gateway.settings import Limits

from .client import Wire, session
from .people import Person, key, make_room, say
from .running import Running, running
from .separate import separate
from .test_moves import told

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]
QUICK = Limits(sweep=0.3, drain=0.1, absence=0.5, ping=1, pong=0.9, undertaking=11.0)


@pytest.fixture
async def gateway(stack: Any, jwks: Path) -> AsyncIterator[Running]:
    """One that tells soon."""
    async with running(stack, jwks, QUICK) as gateway:
        yield gateway


@pytest.fixture
def redis(stack: Any) -> Iterator[Redis]:
    """The stack's Redis."""
    with Redis.from_url(stack.redis.url, decode_responses=True) as client:
        yield client


async def shown_room(wire: Wire, *members: Person) -> str:
    """A room that shows presence; the wire has been told."""
    room = await make_room(wire, *members)
    await until_away(wire, *members)
    await wire.rpc("room.update", {"room": room, "key": key(), "presence": True})
    await wire.until(lambda: any(event["type"] == "room_updated" for event in wire.events(room)))
    return room


async def there(wire: Wire, room: str) -> dict[str, str]:
    """User by client, as `presence` has it now."""
    found = await wire.present(room)
    assert all(info["client"] == client for client, info in found.items())
    return {client: info["user"] for client, info in found.items()}


async def until_there(wire: Wire, room: str, expected: dict[str, str]) -> None:
    """Redis is written at the next beat."""
    async with asyncio.timeout(20):
        while await there(wire, room) != expected:  # noqa: ASYNC110 - nobody tells when Redis is written
            await asyncio.sleep(0.1)


async def until_away(wire: Wire, *people: Person) -> None:
    """Devices of earlier tests count for a while."""
    room = await make_room(wire, *people)
    await wire.rpc("room.update", {"room": room, "key": key(), "presence": True})
    async with asyncio.timeout(30):
        while {person.id for person in people} & set((await there(wire, room)).values()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_room_shows_who_is_there_only_if_it_wants_to(stack: Any, people: People) -> None:
    """Off: 108, and nobody is told. On: every device of every member on every gateway; strangers are refused."""
    ada, grace, mallory = people
    async with (
        session(stack.gateways[0], ada.token) as (one, first),
        session(stack.gateways[1], grace.token) as (two, second),
        session(stack.gateways[1], mallory.token) as (stranger, _),
    ):
        room = await make_room(one, grace)
        channel = f"room:{room}"
        assert await one.refused(presence={"channel": channel}) == 108
        await one.rpc("room.update", {"room": room, "key": key(), "presence": True})
        expected = {first["client"]: ada.id, second["client"]: grace.id}
        await until_there(two, room, expected)
        async with session(stack.gateways[0], grace.token) as (_, third):
            await until_there(two, room, expected | {third["client"]: grace.id})
            stats = (await one.patient(presence_stats={"channel": channel}))["presence_stats"]
            assert stats == {"num_clients": 3, "num_users": 2}
        assert await stranger.refused(presence={"channel": channel}) == 103
        assert await stranger.refused(presence_stats={"channel": channel}) == 103
        assert told(one, channel, "join") == told(one, channel, "leave") == []


async def test_coming_and_going_is_told_once_and_a_reconnect_is_neither(
    stack: Any, gateway: Running, people: People
) -> None:
    """join with the first device, leave with the last; who is back within the absence never left."""
    ada, grace, _ = people
    async with session(stack.gateways[0], ada.token) as (wire, _):
        room = await shown_room(wire, grace)
        channel = f"room:{room}"
        async with session(gateway.url, grace.token) as (_, first):
            await wire.until(lambda: told(wire, channel, "join"))
            async with session(stack.gateways[1], grace.token):
                pass
        async with session(gateway.url, grace.token):
            pass
        await wire.until(lambda: told(wire, channel, "leave"))
        assert told(wire, channel, "join") == [{"info": {"user": grace.id, "client": first["client"]}}]
        assert [push["info"]["user"] for push in told(wire, channel, "leave")] == [grace.id]
        assert grace.id not in (await there(wire, room)).values()


async def test_a_cut_cable_is_told_when_its_pong_is_missing(stack: Any, gateway: Running, people: People) -> None:
    """Without a close frame: after ping and pong at once. With the protocol's 25 and 10 s that is within 40 s."""
    ada, grace, _ = people
    async with session(stack.gateways[0], ada.token) as (wire, _):
        room = await shown_room(wire, grace)
        async with session(gateway.url, grace.token, pongs=False) as (_, connected):
            await wire.until(lambda: told(wire, f"room:{room}", "join"))
            await wire.until(lambda: told(wire, f"room:{room}", "leave"))
        assert told(wire, f"room:{room}", "leave") == [{"info": {"user": grace.id, "client": connected["client"]}}]
    defaults = Limits()
    assert defaults.ping + defaults.pong + 2 * defaults.heartbeat < 40
    assert defaults.ping + defaults.pong + defaults.absence < 40


async def test_the_dead_of_a_killed_gateway_are_told_by_the_others(
    stack: Any, jwks: Path, gateway: Running, people: People
) -> None:
    """Who comes back elsewhere never left. The others stop counting with their gateway's heartbeat, and are told."""
    ada, grace, mallory = people
    async with session(gateway.url, ada.token) as (wire, first):
        room = await shown_room(wire, grace, mallory)
        channel = f"room:{room}"
        async with separate(stack, jwks) as doomed:
            async with (
                session(doomed.url, grace.token) as (_, second),
                session(doomed.url, mallory.token) as (_, third),
            ):
                both = {second["client"]: grace.id, third["client"]: mallory.id}
                await until_there(wire, room, {first["client"]: ada.id, **both})
                os.kill(doomed.pid, signal.SIGKILL)
            async with session(stack.gateways[0], grace.token) as (_, back):
                await wire.until(lambda: told(wire, channel, "leave"), 40)
                assert told(wire, channel, "leave") == [{"info": {"user": mallory.id, "client": third["client"]}}]
                await until_there(wire, room, {first["client"]: ada.id, back["client"]: grace.id})


async def test_a_redis_that_forgets_everything_knows_again_who_is_there(
    redis: Redis, gateway: Running, people: People
) -> None:
    """What a flush takes is written again by the gateways, and nobody is told that anybody came."""
    async with session(gateway.url, people[0].token) as (wire, connected):
        room = await shown_room(wire)
        await until_there(wire, room, {connected["client"]: people[0].id})
        redis.delete(f"presence:{people[0].id}", f"presence:{gateway.gateway.id}")
        redis.zrem("gateways", gateway.gateway.id)
        await until_there(wire, room, {connected["client"]: people[0].id})
        await say(wire, room)
        assert told(wire, f"room:{room}", "join") == []


async def test_being_taken_into_a_shown_room_is_coming(stack: Any, people: People) -> None:
    """And being out of it is going, while the socket lives on."""
    ada, grace, _ = people
    async with (
        session(stack.gateways[0], ada.token) as (one, _),
        session(stack.gateways[1], grace.token) as (_, second),
    ):
        room = await shown_room(one)
        await one.rpc("member.add", {"room": room, "key": key(), "user": grace.id})
        await one.until(lambda: told(one, f"room:{room}", "join"))
        await one.rpc("member.remove", {"room": room, "key": key(), "user": grace.id})
        await one.until(lambda: told(one, f"room:{room}", "leave"))
        info = {"info": {"user": grace.id, "client": second["client"]}}
        assert told(one, f"room:{room}", "join") == told(one, f"room:{room}", "leave") == [info]

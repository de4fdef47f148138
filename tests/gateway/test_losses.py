"""What the gateway does when others fail: holes, lost heads, a Redis that forgets, revoked sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pulsar
import pytest
from redis import Redis

from pulsar_data import topics
from pulsar_data.deliveries import Delivery, Publication
from pulsar_data.events import MessageSent
from pulsar_data.ids import new_key
from pulsar_data.model import RoomId, UserId
from socket_gateway import broker
from socket_gateway.settings import Limits
from tests.clients.waiting import until
from tests.patient import Patient

from .client import session
from .people import Person, make_room, say, sign_in
from .running import Running, running

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]


@pytest.fixture
async def gateway(stack: Any, jwks: Path) -> AsyncIterator[Running]:
    """One that sweeps often."""
    async with running(stack, jwks, Limits(sweep=0.5, drain=0.1, rejoin=8.0)) as gateway:
        yield gateway


@pytest.fixture
def redis(stack: Any) -> Iterator[Redis]:
    """The stack's Redis."""
    with Redis.from_url(stack.redis.url, decode_responses=True) as client:
        yield client


def _event(room: str, actor: str, offset: int, epoch: int) -> MessageSent:
    now = int(time.time() * 1000)
    return MessageSent(
        room=RoomId(room), epoch=epoch, offset=offset, time=now, actor=UserId(actor), key=new_key(now), seq=offset,
        text="from nowhere", digest="-",
    )  # fmt: skip


def _deliver(stack: Any, gateway: Running, *payloads: bytes) -> None:
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    try:
        producer = client.create_producer(topics.gateway(gateway.gateway.id))
        for payload in payloads:
            producer.send(payload)
    finally:
        client.close()


async def _eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - Redis has no event for it
            await asyncio.sleep(0.05)


async def test_a_hole_in_the_deliveries_sends_the_members_back(stack: Any, gateway: Running, people: People) -> None:
    """A publication that skips a number which Redis does not have either: 3010, and the next connect recovers."""
    async with session(gateway.url, people[0].token) as (wire, _):
        room = await make_room(wire)
        at = await say(wire, room)
        epoch = gateway.gateway.hub.rooms()[RoomId(room)].epoch
        event = _event(room, people[0].id, at["offset"] + 2, epoch)
        await asyncio.to_thread(_deliver, stack, gateway, Delivery(items=(Publication(event=event),)).to_json())
        assert await wire.closed() == 3010


async def test_unreadable_deliveries_are_passed_over(stack: Any, gateway: Running, people: People) -> None:
    """Garbage, an unknown item, an event of an old epoch: what is good arrives all the same."""
    async with session(gateway.url, people[0].token) as (wire, _):
        room = await make_room(wire)
        at = await say(wire, room)
        old = _event(room, people[0].id, at["offset"] + 1, 0)
        unknown = b'{"items":[{"type":"song"}]}'
        payloads = (b"\xff", b"{}", unknown, Delivery(items=(Publication(event=old),)).to_json())
        await asyncio.to_thread(_deliver, stack, gateway, *payloads)
        after = await say(wire, room)
        await wire.heard(room, 2)
        assert wire.offsets(room) == [at["offset"], after["offset"]]


async def test_a_lost_last_event_is_noticed(redis: Redis, gateway: Running, people: People) -> None:
    """A publication that never arrived, with none behind it, is pushed at the next sweep."""
    async with session(gateway.url, people[0].token) as (wire, _):
        room = await make_room(wire)
        at = await say(wire, room)
        await wire.heard(room, 1)
        head = f"room:{{{room}}}:head"
        lost = _event(room, people[0].id, at["offset"] + 1, int(redis.hget(head, "epoch") or 0))
        with redis.pipeline() as pipe:
            pipe.rpush(f"room:{{{room}}}:recent", lost.to_json())
            pipe.hset(head, mapping={"voffset": lost.offset, "offset": lost.offset, "vseq": lost.seq, "seq": lost.seq})
            pipe.execute()
        await wire.heard(room, 2)
        assert wire.offsets(room) == [at["offset"], lost.offset]


async def test_a_head_that_cannot_be_caught_up_with_sends_the_members_back(
    redis: Redis, gateway: Running, people: People
) -> None:
    """The visible head runs ahead of what was delivered and of what Redis keeps, for two sweeps: 3010."""
    async with session(gateway.url, people[0].token) as (wire, _):
        room = await make_room(wire)
        redis.hincrby(f"room:{{{room}}}:head", "voffset", 1000)
        try:
            assert await wire.closed() == 3010
        finally:
            redis.hincrby(f"room:{{{room}}}:head", "voffset", -1000)


async def test_interest_that_was_lost_is_written_again(redis: Redis, gateway: Running, people: People) -> None:
    """The sweep asserts the interest of every room with members here."""
    async with session(gateway.url, people[0].token) as (wire, _):
        room = await make_room(wire)
        interest = f"room:{{{room}}}:gateways"
        await _eventually(lambda: redis.hexists(interest, gateway.gateway.id))
        redis.hdel(interest, gateway.gateway.id)
        await _eventually(lambda: redis.hexists(interest, gateway.gateway.id))


async def test_interest_goes_with_the_last_member(redis: Redis, gateway: Running, people: People) -> None:
    """Room and user are forgotten when nobody here needs them, and not before."""
    room_key, user_key = "room:{{{}}}:gateways".format, f"user:{people[0].id}:gateways"
    async with session(gateway.url, people[0].token) as (wire, _):
        room = await make_room(wire)
        async with session(gateway.url, people[0].token):
            await _eventually(lambda: redis.hexists(room_key(room), gateway.gateway.id))
        await say(wire, room)
        await wire.heard(room, 1)
        assert redis.hexists(room_key(room), gateway.gateway.id)
    await _eventually(lambda: not redis.hexists(room_key(room), gateway.gateway.id))
    await _eventually(lambda: not redis.hexists(user_key, gateway.gateway.id))


async def test_a_redis_that_forgot_the_gateway_sends_everybody_back(
    redis: Redis, gateway: Running, people: People
) -> None:
    """The heartbeat is new although it was there: interest is written again at once, sockets go on, and come back."""
    async with session(gateway.url, people[0].token) as (wire, _):
        room = await make_room(wire)
        interest = f"room:{{{room}}}:gateways"
        await _eventually(lambda: redis.hexists(interest, gateway.gateway.id))
        with redis.pipeline() as pipe:
            pipe.hdel(interest, gateway.gateway.id)
            pipe.zrem("gateways", gateway.gateway.id)
            pipe.execute()
        await _eventually(lambda: redis.hexists(interest, gateway.gateway.id))
        sent = await say(wire, room)
        await wire.heard(room, 1)
        assert wire.offsets(room) == [sent["offset"]]
        assert await wire.closed() == 3010
    async with session(gateway.url, people[0].token) as (wire, _):
        room = await make_room(wire)
        sent = await say(wire, room)
        await wire.heard(room, 1)
        assert wire.offsets(room) == [sent["offset"]]


async def test_logout_closes_the_sockets_of_that_session_only(stack: Any, people: People) -> None:
    """3503 on every gateway; the user's other session lives on."""
    person = people[2]
    with httpx.Client(base_url=stack.auth, transport=Patient(), timeout=30) as http:
        second = sign_in(http, person.name, person.password)
        async with (
            session(stack.gateways[0], second.token) as (one, _),
            session(stack.gateways[1], second.token) as (two, _),
            session(stack.gateways[1], person.token) as (stays, _),
        ):
            bearer = {"Authorization": f"Bearer {second.token}"}
            (await asyncio.to_thread(http.post, "/user/logout", headers=bearer)).raise_for_status()
            assert await one.closed() == await two.closed() == 3503
            assert (await stays.ask(ping={}))["ping"] == {}


async def test_a_gateway_that_alone_is_cut_off_from_redis_lets_everybody_go(
    stack: Any, jwks: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten seconds others take it for dead, and nothing is published to it: acks would be all that comes."""

    async def silent(**_: object) -> list[int]:
        raise ConnectionError("nobody there")

    ada, grace, _ = people
    async with (
        running(stack, jwks, Limits(rejoin=0.2, drain=0.1)) as gateway,
        session(gateway.url, ada.token) as (one, _),
        session(gateway.url, grace.token) as (two, _),
    ):
        room = await make_room(one, grace)
        monkeypatch.setattr(gateway.gateway._registry, "_beat_once", silent)
        async with asyncio.timeout(30):
            while not one.over:
                with suppress(asyncio.CancelledError):  # the socket has ended under its question
                    await say(one, room)
                await asyncio.sleep(0.5)
        assert await one.closed() == await two.closed() == 3010


async def test_a_revocation_behind_the_death_of_a_broker_is_heard_though_none_came_before(stack: Any) -> None:
    """A reader that started at the latest would start there again: behind what was published meanwhile."""
    topic, heard = f"persistent://public/default/from-here-{new_key(int(time.time() * 1000))}", list[bytes]()
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    path = f"/admin/v2/{topic.replace('://', '/')}"
    try:
        producer = client.create_producer(topic)
        producer.send(b"before")
        reader = broker.from_here(client, topic, "gw-test", lambda _, message: heard.append(message.data()))
        async with httpx.AsyncClient(base_url=stack.pulsar.admin_url, timeout=30, trust_env=False) as admin:
            for number in range(5):
                (await admin.put(f"{path}/unload")).raise_for_status()  # as if the broker had died
                await asyncio.to_thread(producer.send, str(number).encode())
            subscriptions = (await admin.get(f"{path}/subscriptions")).json()
        await until("all are heard", lambda: _heard(heard, 5), 30)
        assert heard == [b"0", b"1", b"2", b"3", b"4"]
        assert "gw-test" not in subscriptions, "whoever asked has left something behind"
        reader.close()
    finally:
        client.close()


async def _heard(heard: list[bytes], count: int) -> bool:
    return len(heard) >= count


@pytest.mark.parametrize("lost", ["commands", "queries", "signals"])
async def test_a_producer_that_the_library_has_lost_is_made_anew(
    gateway: Running, people: People, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Meanwhile it is not ready, and says so; nobody has to start it again."""
    monkeypatch.setattr(broker, "STUCK", 0.5)
    links = gateway.gateway._broker._links
    assert links is not None
    getattr(links, lost).close()  # as good as lost: it has no connection, and gets none
    assert not gateway.gateway.health["pulsar"]

    async def healthy() -> bool:
        return gateway.gateway.health["pulsar"]

    await until("it is healthy again", healthy, 20)
    async with session(gateway.url, people[0].token) as (wire, _):
        room = await make_room(wire)
        assert (await say(wire, room, "hello"))["seq"] == 1

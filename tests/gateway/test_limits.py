"""Clocks and bounds of one connection, and the drain: on a gateway of the test's own with short waits."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from pulsar_data.model import UserId
from socket_gateway.opening import DROPS
from socket_gateway.settings import Limits
from tests.clients.waiting import until

from .client import Wire, session
from .people import Person, Signer, key, make_room, say, sign_up
from .running import Running, running
from .test_frames import TEXT, frame, raw

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]


async def test_a_socket_that_does_not_connect_is_stale(stack: Any, jwks: Path) -> None:
    """3502 after the connect time."""
    async with running(stack, jwks, Limits(connect=0.3, drain=0.1)) as gateway, Wire.open(gateway.url) as wire:
        assert await wire.closed() == 3502


async def test_a_client_that_answers_pings_stays_and_one_that_does_not_goes(
    stack: Any, jwks: Path, people: People
) -> None:
    """3012 for the silent one only."""
    async with (
        running(stack, jwks, Limits(ping=2, pong=1.5, drain=0.1)) as gateway,
        session(gateway.url, people[0].token) as (wire, connected),
        session(gateway.url, people[0].token, pongs=False) as (silent, _),
    ):
        assert connected["ping"] == 2
        assert await silent.closed() == 3012
        await wire.until(lambda: wire.pings >= 3)
        assert (await wire.ask(ping={}))["ping"] == {}


async def test_a_socket_ends_with_its_token(stack: Any, jwks: Path, signer: Signer) -> None:
    """3005 at the token's expiry; the reported `ttl` is never less than a second."""
    ada = await asyncio.to_thread(sign_up, stack.auth)  # in no room that must be rebuilt first
    async with running(stack, jwks) as gateway:
        expiry = int(time.time()) + 10
        async with session(gateway.url, signer.token(ada, exp=expiry)) as (wire, connected):
            assert connected["ttl"] == 1
            assert await wire.closed() == 3005
            assert expiry <= time.time() <= expiry + 5


async def test_more_unanswered_commands_than_allowed_are_refused(stack: Any, jwks: Path, people: People) -> None:
    """111, temporary; the others are answered."""
    async with (
        running(stack, jwks, Limits(inflight=5, drain=0.1)) as gateway,
        session(gateway.url, people[0].token) as (wire, _),
    ):
        replies = await asyncio.gather(*await wire.send(*[{"rpc": {"method": "room.list"}} for _ in range(20)]))
        errors = [reply["error"] for reply in replies if "error" in reply]
        assert all(error["temporary"] for error in errors)
        assert 0 < [error["code"] for error in errors].count(111) <= 15


async def test_who_asks_too_fast_is_refused_and_who_goes_on_is_closed(stack: Any, jwks: Path, people: People) -> None:
    """First 111, temporary; at twice the burst 3013. Others notice nothing, and who slows down is answered again."""
    limits = Limits(commands=50.0, commands_burst=40, drain=0.1)
    async with (
        running(stack, jwks, limits) as gateway,
        session(gateway.url, people[0].token) as (hasty, _),
        session(gateway.url, people[1].token) as (calm, _),
    ):
        replies = await asyncio.gather(*await hasty.send(*[{"ping": {}} for _ in range(60)]))
        refused = [reply["error"]["code"] for reply in replies if "error" in reply]
        assert refused
        assert set(refused) == {111}
        await asyncio.sleep(1.0)
        assert (await hasty.ask(ping={}))["ping"] == {}
        await hasty.send(*[{"ping": {}} for _ in range(120)])
        assert await hasty.closed() == 3013
        assert (await calm.ask(ping={}))["ping"] == {}


async def test_a_large_command_counts_as_several(stack: Any, jwks: Path, people: People) -> None:
    """One of 41 KB as eleven: of so many at once, of which small ones would do, some are refused."""
    limits = Limits(commands=1.0, commands_burst=60 + DROPS, drain=0.1)
    large = {"ping": {}, "filler": "x" * 41_000}
    for command, refused in (({"ping": {}}, 0), (large, 5)):
        async with running(stack, jwks, limits) as gateway, session(gateway.url, people[0].token) as (wire, _):
            replies = await asyncio.gather(*await wire.send(*[command] * 10))
            assert ["error" in reply for reply in replies] == [False] * (10 - refused) + [True] * refused


async def test_who_is_closed_for_asking_too_fast_is_read_no_more(stack: Any, jwks: Path, people: People) -> None:
    """It is told at once why; what it sends on fills its own buffers until it is cut, up to three seconds later."""
    ping = frame(TEXT, b'{"id":2,"ping":{}}')
    async with (
        running(stack, jwks, Limits(commands_burst=40, drain=0.1)) as gateway,
        raw(gateway.url, people[0].token) as flooder,
    ):
        await flooder.send(ping * 100)
        assert await flooder.closed() == 3013
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flooder.send(ping * 1_000_000), 1)
        with pytest.raises(ConnectionError):
            await flooder.send(ping)


async def test_more_connections_make_nobody_faster(stack: Any, jwks: Path, people: People) -> None:
    """A user is counted over all of them, and for a while after: who comes back at once is closed with 3013 again."""
    limits = Limits(commands=10.0, commands_burst=40, drain=0.1)
    async with (
        running(stack, jwks, limits) as gateway,
        session(gateway.url, people[0].token) as (one, _),
        session(gateway.url, people[0].token) as (other, _),
        session(gateway.url, people[1].token) as (calm, _),
    ):
        sent = [*await one.send(*[{"ping": {}}] * 30), *await other.send(*[{"ping": {}}] * 30)]
        assert 111 in [reply["error"]["code"] for reply in await asyncio.gather(*sent) if "error" in reply]
        await one.send(*[{"ping": {}}] * 120)
        assert await one.closed() == 3013
        async with Wire.open(gateway.url) as again:
            await again.send({"connect": {"token": people[0].token}})
            assert await again.closed() == 3013
        assert (await calm.ask(ping={}))["ping"] == {}


async def test_who_was_closed_for_asking_is_let_in_after_the_pause_and_without_a_burst(
    stack: Any, jwks: Path, people: People
) -> None:
    """3013 until `commands_pause` is over; from then on as fast as anybody in the long run, and no faster."""
    limits = Limits(commands=20.0, commands_burst=40, commands_pause=6.0, linger=0.2, drain=0.1)

    async def let_in(url: str) -> bool:
        async with Wire.open(url) as wire:
            (answer,) = await wire.send({"connect": {"token": people[0].token}})
            await asyncio.wait([answer])
            if answer.cancelled():
                assert await wire.closed() == 3013
            return not answer.cancelled()

    async with running(stack, jwks, limits) as gateway:
        async with session(gateway.url, people[0].token) as (wire, _):
            asked = time.monotonic()
            await wire.send(*[{"ping": {}}] * 120)
            assert await wire.closed() == 3013
        await until("let in again", lambda: let_in(gateway.url), 30)
        assert time.monotonic() - asked >= limits.commands_pause
        await asyncio.sleep(3 * DROPS / limits.commands)  # until it is dry: that opening counts, and so does the next
        async with session(gateway.url, people[0].token) as (wire, _):
            answers = await asyncio.gather(*await wire.send(*[{"ping": {}}] * 25))
            assert 111 in [answer["error"]["code"] for answer in answers if "error" in answer]
            assert any("ping" in answer for answer in answers)


async def test_who_connects_too_often_is_to_come_again(stack: Any, jwks: Path, people: People) -> None:
    """3013 before archive is asked; others come in, and so does who waits."""
    limits = Limits(commands=4.0, commands_burst=4 * DROPS, drain=0.1)

    async def came_in(token: str) -> bool:
        async with Wire.open(gateway.url) as wire:
            (answer,) = await wire.send({"connect": {"token": token}})
            await asyncio.wait([answer])
            return not answer.cancelled()

    async with running(stack, jwks, limits) as gateway:
        tries = [await came_in(people[0].token) for _ in range(12)]
        assert tries[0]
        assert not all(tries)
        assert await came_in(people[1].token)
        await asyncio.sleep(2 * DROPS / limits.commands)
        assert await came_in(people[0].token)


async def test_a_first_command_that_is_too_large_is_not_looked_at(stack: Any, jwks: Path) -> None:
    """3501: whoever sends it has shown no token yet."""
    async with running(stack, jwks) as gateway, Wire.open(gateway.url) as wire:
        await wire.send({"connect": {"token": "x", "data": [[[]]] * (gateway.gateway.limits.first // 6)}})
        assert await wire.closed() == 3501


async def test_one_user_has_so_many_connections(stack: Any, jwks: Path, people: People) -> None:
    """One more is closed with 3504 and stays away; when one goes there is room again. Others are not counted."""
    async with (
        running(stack, jwks, Limits(user_connections=2, drain=0.1)) as gateway,
        session(gateway.url, people[0].token),
        session(gateway.url, people[1].token),
    ):
        async with session(gateway.url, people[0].token), Wire.open(gateway.url) as third:
            await third.send({"connect": {"token": people[0].token}})
            assert await third.closed() == 3504
        async with session(gateway.url, people[0].token) as (wire, _):
            assert (await wire.ask(ping={}))["ping"] == {}


async def test_a_reader_that_stops_is_closed_and_the_others_lose_nothing(
    stack: Any, jwks: Path, people: People
) -> None:
    """3008 for the one that sleeps; the other member and the sender get every event, in order."""
    ada, grace, mallory = people
    limits = Limits(unsent=64 * 1024, kernel=8 * 1024, linger=10.0, drain=0.1)
    async with (
        running(stack, jwks, limits) as gateway,
        session(gateway.url, ada.token) as (one, _),
        session(gateway.url, grace.token) as (two, _),
        session(gateway.url, mallory.token) as (sleeper, _),
    ):
        room = await make_room(one, grace, mallory)
        await sleeper.until(lambda: sleeper.pushes)
        sleeper.socket.transport.pause_reading()
        numbers: list[int] = []
        # The kernel of the client's side takes some megabytes before anything piles up with us.
        async with asyncio.timeout(120):
            while len(gateway.gateway.hub) == 3:
                sends = [
                    {"rpc": {"method": "message.send", "data": {"room": room, "key": key(), "text": "x" * 4000}}}
                    for _ in range(14)
                ]
                for send in await wire_sends(one, sends):
                    numbers.append(send["rpc"]["data"]["offset"])
        last = (await say(one, room))["offset"]
        for wire in (one, two):
            await wire.heard(room, len(numbers) + 1)
            assert wire.offsets(room) == [*numbers, last]
        sleeper.socket.transport.resume_reading()
        assert await sleeper.closed() == 3008


async def test_a_reader_that_takes_nothing_for_a_while_is_aborted_however_little_it_is_owed(
    stack: Any, jwks: Path, people: People
) -> None:
    """Recorded as 3008 and cut off without a close frame, which it would not read either; the others go on."""
    ada, _, mallory = people

    async with (
        running(stack, jwks, Limits(stall=1.0, kernel=8 * 1024, drain=0.1)) as gateway,
        session(gateway.url, ada.token) as (one, _),
        session(gateway.url, mallory.token, dial=lambda: small(gateway)) as (sleeper, _),
    ):
        room = await make_room(one, mallory)
        await sleeper.until(lambda: sleeper.pushes)
        sleeper.socket.transport.pause_reading()
        sends = [
            {"rpc": {"method": "message.send", "data": {"room": room, "key": key(), "text": "x" * 4000}}}
            for _ in range(14)
        ]
        await wire_sends(one, sends)
        async with asyncio.timeout(20):
            while len(gateway.gateway.hub) == 2:  # noqa: ASYNC110 - the kernel ends it
                await asyncio.sleep(0.05)
        await say(one, room)
        await one.heard(room, 15)
        exposition, _ = gateway.gateway.metrics.exposition()
        assert 'chattifier_gateway_connections_closed_total{code="3008"} 1.0' in exposition.decode()
        sleeper.socket.transport.resume_reading()
        assert await sleeper.closed() == 1006


async def wire_sends(wire: Wire, commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All replies of several commands, each in a frame of its own."""
    futures = [(await wire.send(command))[0] for command in commands]
    return list(await asyncio.gather(*futures))


async def test_a_drain_closes_everybody_with_3001_and_leaves(stack: Any, jwks: Path, people: People) -> None:
    """Not ready, no new sockets, 3001 for the old ones, then a clean end; nothing stays in Redis."""
    async with running(stack, jwks, Limits(drain=4.0)) as gateway:
        async with httpx.AsyncClient(base_url=gateway.http, trust_env=False) as http:
            assert (await http.get("/readyz")).status_code == 200
            assert (await http.get("/healthz")).status_code == 200
            async with (
                session(gateway.url, people[0].token) as (one, _),
                session(gateway.url, people[1].token) as (two, _),
            ):
                gateway.stop.set()
                closing = {asyncio.create_task(wire.closed()) for wire in (one, two)}
                await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
                answer = await http.get("/readyz")
                assert (answer.status_code, answer.json()["accepting"]) == (503, False)
                with pytest.raises(OSError):
                    async with Wire.open(gateway.url):
                        raise AssertionError("a draining gateway accepts connections")
                assert await asyncio.gather(*closing) == [3001, 3001]
        await asyncio.wait_for(gateway.done, 30)
    from redis import Redis

    with Redis.from_url(stack.redis.url, decode_responses=True) as redis:
        fresh = time.time() * 1000 - 5000  # as chat-router and the other gateways see it: no heartbeat
        assert (redis.zscore("gateways", gateway.gateway.id) or 0) < fresh
        assert redis.hget(f"user:{people[0].id}:gateways", gateway.gateway.id) is None


async def test_readers_that_stop_together_cannot_fill_the_memory(stack: Any, jwks: Path, people: People) -> None:
    """Each owes less than one may; where all owe too much together, whoever owes most by all their sockets goes."""
    ada, grace, mallory = people

    limits = Limits(owed=4 * 1024 * 1024, unsent=4 * 1024 * 1024, stall=60.0, kernel=8 * 1024, drain=0.1)
    async with (
        AsyncExitStack() as asleep,
        running(stack, jwks, limits) as gateway,
        session(gateway.url, ada.token) as (one, _),
        session(gateway.url, grace.token) as (two, _),
    ):
        sleepers = [
            (await asleep.enter_async_context(session(gateway.url, mallory.token, dial=lambda: small(gateway))))[0]
            for _ in range(8)
        ]
        room = await make_room(one, grace, mallory)
        for sleeper in sleepers:
            await sleeper.until(lambda sleeper=sleeper: sleeper.pushes)  # type: ignore[misc]
            sleeper.socket.transport.pause_reading()
        sent = 0
        async with asyncio.timeout(120):
            while gateway.gateway.hub.has_user(UserId(mallory.id)):
                sends = [
                    {"rpc": {"method": "message.send", "data": {"room": room, "key": key(), "text": "x" * 4000}}}
                    for _ in range(14)
                ]
                sent += len(await wire_sends(one, sends))
                assert sum(sleeper.unsent for sleeper in gateway.gateway._connections) < 2 * limits.owed
        assert sent * 4000 < limits.unsent, "each was closed for itself"
        for wire in (one, two):
            await wire.heard(room, sent)
        exposition, _ = gateway.gateway.metrics.exposition()
        assert 'chattifier_gateway_connections_closed_total{code="3008"} 8.0' in exposition.decode()
        for sleeper in sleepers:
            sleeper.socket.transport.resume_reading()
            assert await sleeper.closed() == 1006


async def small(gateway: Running) -> socket.socket:
    """A connection to it that takes next to nothing while nobody reads."""
    dialled = socket.socket()
    dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024)
    dialled.setblocking(False)
    await asyncio.get_running_loop().sock_connect(dialled, ("127.0.0.1", urlsplit(gateway.url).port))
    return dialled

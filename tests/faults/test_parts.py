"""kill -9 of whole parts under load: a gateway, the edge, Cassandra, Pulsar. Nothing is lost or doubled, and all come
back.

Each runs a few times here; CHATTIFIER_FAULT_TIMES says how often (`scripts/faults`: twenty).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import Coroutine
from typing import Any

import redis.asyncio

from chattifier.run_state import State
from pulsar_data import redis_keys
from pulsar_data.model import RoomId, UserId
from tests.clients.chat_client import PATIENCE
from tests.clients.journal import Received
from tests.clients.people import Person, sign_up
from tests.clients.talkers import fresh_key
from tests.clients.waiting import until
from tests.faults.conftest import Trial, between, on_demand, times, whole_parts
from tests.faults.crowd import Crowd, Entrance
from tests.faults.functions import Functions
from tests.faults.readers import REFUSED, reading, until_read
from tests.gateway.client import Wire, session
from tests.running_stack import Stack

pytestmark = whole_parts()
ALL_BACK_WITHIN = 15.0
"""Seconds until everybody whose gateway was killed is connected again and has what was missed."""
GONE_WITHIN = 40.0
"""Seconds until who was at a killed gateway, and does not come back, is offline."""
WITHIN_WITHOUT_CASSANDRA = 5.0
"""Seconds from the moment a message was meant to be sent until every member has it: Cassandra and two JVMs that store
what was waiting share the processor when it is back."""
CLOSED_WITHIN = 60.0
"""Seconds until gateways have closed all their sockets behind a Redis that started anew."""
STORED_WITHIN = 300.0
"""Seconds until message-store has caught up with what was said while Cassandra was away."""
ROLLED = ("gateway-1", "gateway-2", "auth", "redis", "cassandra", "pulsar", "edge")
CAUGHT_UP = 200
"""Messages: two seconds of talk, as it goes on meanwhile."""


def kill(stack: Stack, part: str, by: signal.Signals = signal.SIGKILL) -> Coroutine[Any, Any, None]:
    """End a part now. The supervisor starts it again; awaited, it has done so, and it may not be ready yet."""
    (old,) = stack.pids(part)
    os.kill(old, by)

    async def started_again() -> bool:
        return stack.pids(part) not in ([], [old])

    return until(f"{part} is started again", started_again, 60)


async def until_ready(stack: Stack, part: str) -> None:
    """Wait until a part that was started again is ready."""

    async def ready() -> bool:
        return stack.parts[part].state is State.READY

    await until(f"{part} is ready", ready, 60)


async def test_a_killed_gateway_costs_nobody_anything(stack: Stack, chance: random.Random, trial: Trial) -> None:
    """Half of the clients lose their socket, then all, each time: they go on at the other gateway, recovered, within
    the time.
    """
    faults = times(4)

    async def kills(crowd: Crowd) -> None:
        for victim in itertools.islice(itertools.cycle(chance.sample(["gateway-1", "gateway-2"], 2)), faults):
            await crowd.until_settled()
            await asyncio.sleep(chance.uniform(1.0, 4.0))
            restarted, struck = kill(stack, victim), time.monotonic()
            await asyncio.sleep(1.0)  # until its clients know
            await crowd.until_settled()
            assert time.monotonic() - struck <= ALL_BACK_WITHIN
            await restarted
            await until_ready(stack, victim)
        await asyncio.sleep(2.0)

        assert crowd.longest_absence <= ALL_BACK_WITHIN
        reloaded = [entry for journal in crowd.journals for entry in journal.of(Received) if entry.how == "reloaded"]
        assert not reloaded, "somebody could not recover, and had to read everything again"

    await trial("kill -9 gateway", faults, kills, ALL_BACK_WITHIN)


async def test_who_was_at_a_killed_gateway_is_not_there_for_long(stack: Stack) -> None:
    """Nobody says goodbye for them. The others see them go, and nobody sends to that gateway any more."""
    ada, grace = await sign_up(stack.auth, 2)
    async with session(stack.gateways[0], ada.token) as (wire, _):
        wanted = {"key": fresh_key(), "kind": "group", "name": "Presence", "members": [grace.user]}
        room = (await wire.rpc("room.create", wanted))["room"]
        await wire.rpc("room.update", {"room": room, "key": fresh_key(), "presence": True})
        async with session(stack.gateways[1], grace.token):
            await until("she is there", lambda: _is_there(wire, room, grace), 5)
            wanted_by = await _interest(stack, room, grace)
            restarted, struck = kill(stack, "gateway-2"), time.monotonic()
        await until("she is not there any more", lambda: _is_gone(wire, room, grace), GONE_WITHIN)
        print(f"offline after {time.monotonic() - struck:.1f} s")
        await until("it is forgotten", lambda: _is_forgotten(stack, room, grace, wanted_by), GONE_WITHIN)
        await restarted
        await until_ready(stack, "gateway-2")


async def _is_there(wire: Wire, room: str, person: Person) -> bool:
    return person.user in {info["user"] for info in (await wire.present(room)).values()}


async def _is_gone(wire: Wire, room: str, person: Person) -> bool:
    return not await _is_there(wire, room, person)


async def _interest(stack: Stack, room: str, person: Person) -> list[set[str]]:
    """The gateways that want to hear of a user, and of a room."""
    async with redis.asyncio.Redis.from_url(stack.redis.url, decode_responses=True) as memory:
        keys = redis_keys.user_gateways(UserId(person.user)), redis_keys.interest(RoomId(room))
        return [{str(gateway) for gateway in await memory.hkeys(key)} for key in keys]


async def _is_forgotten(stack: Stack, room: str, person: Person, before: list[set[str]]) -> bool:
    """By both: the room was wanted by two, of which one lives."""
    (dead,) = before[0]
    return dead in before[1] and not any(dead in now for now in await _interest(stack, room, person))


async def test_a_killed_edge_costs_nobody_anything(stack: Stack, chance: random.Random, trial: Trial) -> None:
    """Everybody comes in by it, and loses the socket; once it is ready again all go on, recovered, within the time."""
    faults = times(2)

    async def kills(crowd: Crowd) -> None:
        for _ in range(faults):
            await crowd.until_settled()
            await asyncio.sleep(chance.uniform(*between(faults)))
            before = [client.arrivals for client in crowd.clients]
            await kill(stack, "edge")
            await until_ready(stack, "edge")
            await crowd.until_all_came_again(before, ALL_BACK_WITHIN)
            await crowd.until_settled()
        await asyncio.sleep(2.0)

    await trial("kill -9 edge", faults, kills, doors=Entrance.by_edge(stack))


@on_demand
async def test_a_killed_cassandra_stops_nobody_from_talking(
    stack: Stack, functions: Functions, chance: random.Random, trial: Trial
) -> None:
    """Delivery goes on; reads are answered or refused for the moment; what was not stored is, once it is back."""
    faults = times(1)

    async def kills(crowd: Crowd) -> None:
        async with reading(crowd, 5) as answers:
            for _ in range(faults):
                await asyncio.sleep(chance.uniform(1.0, 3.0))
                before = answers[REFUSED]
                back = kill(stack, "cassandra")
                await crowd.until_all_talk(10)  # without it
                await back
                await until_ready(stack, "cassandra")
                await functions.until_left("message-store", CAUGHT_UP, STORED_WITHIN)
                assert answers[REFUSED] > before, "nobody noticed: nothing was tested"
                await until_read(answers)

    await trial("kill -9 cassandra", faults, kills, WITHIN_WITHOUT_CASSANDRA)


@on_demand
async def test_a_killed_pulsar_loses_nothing_and_comes_back_with_its_functions(
    stack: Stack, functions: Functions, chance: random.Random, trial: Trial
) -> None:
    """Whoever gets no answer sends again under the same key: one message. Nobody does anything else."""
    faults = times(1)

    async def kills(crowd: Crowd) -> None:
        for _ in range(faults):
            await asyncio.sleep(chance.uniform(2.0, 4.0))
            await kill(stack, "pulsar")
            await functions.until_pulsar_is_back()
            await crowd.until_settled()
            await crowd.until_answered(PATIENCE)
        await asyncio.sleep(2.0)

    await trial("kill -9 pulsar", faults, kills)


@on_demand
async def test_a_rolling_restart_of_everything_costs_nobody_anything(
    stack: Stack, functions: Functions, chance: random.Random, trial: Trial
) -> None:
    """As an upgrade does it: each part is asked to end, when the one before is back and has caught up. Nobody is away
    for long at any time.
    """
    faults = times(1)

    async def restarts(crowd: Crowd) -> None:
        for _ in range(faults):
            for part in ROLLED:
                before = [client.arrivals for client in crowd.clients]
                await kill(stack, part, by=signal.SIGTERM)
                if part == "redis":  # gateways close their sockets by and by; who was not let in yet needs Cassandra
                    await crowd.until_all_came_again(before, CLOSED_WITHIN)
                if part == "pulsar":
                    await functions.until_pulsar_is_back()
                await crowd.until_settled()
                away = crowd.longest_absence
                assert away <= ALL_BACK_WITHIN, f"somebody was away for {away:.1f} s, as {part} was restarted"
                await crowd.until_all_talk(120)
                await crowd.until_answered(PATIENCE)
                await functions.until_left("message-store", CAUGHT_UP, STORED_WITHIN)
                await asyncio.sleep(chance.uniform(1.0, 2.0))
        await asyncio.sleep(2.0)

    await trial("rolling restart of everything", faults * len(ROLLED), restarts, doors=Entrance.by_edge(stack))

"""kill -9 of whole parts under load: a gateway, the edge, archive, Cassandra, Pulsar. Nothing is lost or doubled, and
all come back.

Each runs a few times here; CHATTIFIER_FAULT_TIMES says how often (`scripts/faults`: twenty).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chattifier.run_state import State
from tests.clients.socket import ErrorReply
from tests.clients.waiting import until
from tests.faults.conftest import Trial, on_demand, times
from tests.faults.crowd import Crowd, Entrance
from tests.faults.functions import Functions
from tests.running_stack import Stack

pytestmark = [
    pytest.mark.stack,
    pytest.mark.quiet,
    pytest.mark.kills_parts,
    pytest.mark.anyio,
    pytest.mark.timeout(3600, func_only=True),
]
ALL_BACK_WITHIN = 15.0
"""Seconds until everybody whose gateway was killed is connected again and has what was missed."""
CLOSED_WITHIN = 60.0
"""Seconds until gateways have closed all their sockets behind a Redis that started anew."""
ANSWERED_WITHIN = 3.0
"""Seconds for a read while archive or Cassandra is away: an answer or an error. A gateway gives up after two."""
STORED_WITHIN = 300.0
"""Seconds until message-store has caught up with what was said while Cassandra was away."""
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

    await trial("kill -9 gateway", faults, kills)


async def test_a_killed_edge_costs_nobody_anything(stack: Stack, chance: random.Random, trial: Trial) -> None:
    """Everybody comes in by it, and loses the socket; once it is ready again all go on, recovered, within the time."""
    faults = times(2)

    async def kills(crowd: Crowd) -> None:
        for _ in range(faults):
            await crowd.until_settled()
            await asyncio.sleep(chance.uniform(1.0, 4.0))
            before = [client.arrivals for client in crowd.clients]
            await kill(stack, "edge")
            await until_ready(stack, "edge")
            await crowd.until_all_came_again(before, ALL_BACK_WITHIN)
            await crowd.until_settled()
        await asyncio.sleep(2.0)

    await trial("kill -9 edge", faults, kills, doors=Entrance.by_edge(stack))


async def test_a_killed_archive_leaves_no_reader_waiting(
    functions: Functions, chance: random.Random, trial: Trial
) -> None:
    """Sends do not notice. Reads are answered, or told to try again; none hangs."""
    faults = times(4)

    async def kills(crowd: Crowd) -> None:
        async with reading(crowd, 10):
            for _ in range(faults):
                await functions.until_all_consume("archive")
                await asyncio.sleep(chance.uniform(0.5, 3.0))
                await functions.kill("archive", chance.randrange(2))

    await trial("kill -9 archive", faults, kills)


@on_demand
async def test_a_killed_cassandra_stops_nobody_from_talking(
    stack: Stack, functions: Functions, chance: random.Random, trial: Trial
) -> None:
    """Delivery goes on; reads are answered or refused for the moment; what was not stored is, once it is back."""
    faults = times(1)

    async def kills(crowd: Crowd) -> None:
        async with reading(crowd, 5):
            for _ in range(faults):
                await asyncio.sleep(chance.uniform(1.0, 3.0))
                back = kill(stack, "cassandra")
                await crowd.until_all_talk(10)  # without it
                await back
                await functions.until_left("message-store", CAUGHT_UP, STORED_WITHIN)

    await trial("kill -9 cassandra", faults, kills)


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
            await crowd.until_all_talk(120)
        await asyncio.sleep(2.0)

    await trial("kill -9 pulsar", faults, kills)


@on_demand
async def test_a_rolling_restart_of_everything_costs_nobody_anything(
    stack: Stack, functions: Functions, chance: random.Random, trial: Trial
) -> None:
    """As an upgrade does it: each part is asked to end, one after the other; everybody is soon back each time."""
    faults = times(1)

    async def restarts(crowd: Crowd) -> None:
        for _ in range(faults):
            for part in ("gateway-1", "gateway-2", "auth", "redis", "cassandra", "pulsar"):
                before = [client.arrivals for client in crowd.clients]
                await kill(stack, part, by=signal.SIGTERM)
                if part == "redis":  # gateways close their sockets by and by; who was not let in yet needs Cassandra
                    await crowd.until_all_came_again(before, CLOSED_WITHIN)
                if part == "pulsar":
                    await functions.until_pulsar_is_back()
                back = asyncio.get_running_loop().time() + ALL_BACK_WITHIN
                await crowd.until_settled()
                assert asyncio.get_running_loop().time() <= back, f"not everybody was back in time after {part}"
                await crowd.until_all_talk(120)
                await functions.until_left("message-store", CAUGHT_UP, STORED_WITHIN)
                await asyncio.sleep(chance.uniform(1.0, 2.0))
        await asyncio.sleep(2.0)

    await trial("rolling restart of everything", faults * 6, restarts)


@asynccontextmanager
async def reading(crowd: Crowd, count: int) -> AsyncIterator[None]:
    """So many read again and again; every one is answered in time, and not only by being told to try again."""
    answers = 0

    async def read(number: int) -> None:
        nonlocal answers
        client, room = crowd.clients[number], crowd.homes[number]
        while True:
            await asyncio.sleep(0.2)
            async with asyncio.timeout(ANSWERED_WITHIN):
                try:
                    answers += await client.rpc_once("message.list", {"room": room, "limit": 20}) is not None
                except ErrorReply as error:
                    assert error.temporary or error.code == 108, f"message.list was refused with {error.code}"

    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(read(number)) for number in range(count)]
        yield
        before = answers
        await asyncio.sleep(3.0)
        for reader in readers:
            reader.cancel()
    assert answers > before, "nobody reads anything any more"

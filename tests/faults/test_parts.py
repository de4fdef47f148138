"""kill -9 of whole parts under load: a gateway, archive, Cassandra, Pulsar. Nothing lost or doubled, all come back.

Each runs a few times here; CHATTIFIER_FAULT_TIMES says how often (`scripts/faults`: twenty).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from functools import partial

import pytest

from tests.clients.socket import ErrorReply
from tests.clients.waiting import until
from tests.faults import scenario
from tests.faults.conftest import Record, times
from tests.faults.crowd import Crowd
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
ANSWERED_WITHIN = 5.0
"""Seconds for a read while archive or Cassandra is away: an answer or an error, never silence."""
STORED_WITHIN = 300.0
"""Seconds until message-store has caught up with what was said while Cassandra was away."""
on_demand = pytest.mark.skipif(
    "CHATTIFIER_FAULT_TIMES" not in os.environ, reason="takes minutes a fault: scripts/faults runs it"
)


def kill(stack: Stack, part: str) -> None:
    """End a part at once; the supervisor starts it again."""
    (pid,) = stack.pids(part)
    os.kill(pid, signal.SIGKILL)


async def test_a_killed_gateway_costs_nobody_anything(
    stack: Stack, functions: Functions, chance: random.Random, record: Record
) -> None:
    """Half of the clients lose their socket: they go on at the other gateway, recovered, within the time."""
    faults = times(4)

    async def kills(crowd: Crowd) -> None:
        for _ in range(faults):
            await crowd.until_settled()
            await asyncio.sleep(chance.uniform(1.0, 4.0))
            kill(stack, chance.choice(["gateway-1", "gateway-2"]))
            struck = time.monotonic()
            await asyncio.sleep(1.0)
            await crowd.until_settled()
            assert time.monotonic() - struck <= ALL_BACK_WITHIN
        await asyncio.sleep(2.0)

    verdict = await scenario.run(stack, functions, chance, kills, within=None, again=True)
    record("kill -9 gateway", faults, verdict)
    assert not verdict.findings, str(verdict)


async def test_a_killed_archive_leaves_no_reader_waiting(
    stack: Stack, functions: Functions, chance: random.Random, record: Record
) -> None:
    """Sends do not notice. Reads are answered, or told to try again; none hangs."""
    faults = times(4)

    async def kills(crowd: Crowd) -> None:
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(_read(crowd, number)) for number in range(10)]
            for _ in range(faults):
                await functions.until_all_consume("archive")
                await asyncio.sleep(chance.uniform(0.5, 3.0))
                await functions.kill("archive", chance.randrange(2))
            await asyncio.sleep(2.0)
            for reader in readers:
                reader.cancel()

    verdict = await scenario.run(stack, functions, chance, kills, within=None, again=True)
    record("kill -9 archive", faults, verdict)
    assert not verdict.findings, str(verdict)


@on_demand
async def test_a_killed_cassandra_stops_nobody_from_talking(
    stack: Stack, functions: Functions, chance: random.Random, record: Record
) -> None:
    """Delivery goes on; reads are answered or refused for the moment; what was not stored is, once it is back."""
    faults = times(1)

    async def kills(crowd: Crowd) -> None:
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(_read(crowd, number)) for number in range(5)]
            for _ in range(faults):
                await asyncio.sleep(chance.uniform(1.0, 3.0))
                heads = {room: crowd.clients[number].feeds[room].seq for number, room in enumerate(crowd.rooms)}
                (old,) = stack.pids("cassandra")
                kill(stack, "cassandra")
                await until("talk goes on without Cassandra", partial(_moved_on, crowd, heads), 10)
                await until("Cassandra is started again", partial(_another, stack, "cassandra", old), 60)
                await functions.until_idle(STORED_WITHIN)
            for reader in readers:
                reader.cancel()

    verdict = await scenario.run(stack, functions, chance, kills, within=None, again=True)
    record("kill -9 cassandra", faults, verdict)
    assert not verdict.findings, str(verdict)


@on_demand
async def test_a_killed_pulsar_loses_nothing_and_comes_back_with_its_functions(
    stack: Stack, functions: Functions, chance: random.Random, record: Record
) -> None:
    """Whoever gets no answer sends again under the same key: one message. Nobody does anything else."""
    faults = times(1)

    async def kills(crowd: Crowd) -> None:
        for _ in range(faults):
            await asyncio.sleep(chance.uniform(2.0, 4.0))
            (old,) = stack.pids("pulsar")
            kill(stack, "pulsar")
            await until("Pulsar is started again", partial(_another, stack, "pulsar", old), 60)
            await functions.until_pulsar_is_back()
            await crowd.until_settled()
            heads = {room: crowd.clients[number].feeds[room].seq for number, room in enumerate(crowd.rooms)}
            await until("talk goes on", partial(_moved_on, crowd, heads), 120)
        await asyncio.sleep(2.0)

    verdict = await scenario.run(stack, functions, chance, kills, within=None, again=True)
    record("kill -9 pulsar", faults, verdict)
    assert not verdict.findings, str(verdict)


async def _read(crowd: Crowd, number: int) -> None:
    """Read again and again; every answer comes in time."""
    client, room = crowd.clients[number], crowd.homes[number]
    while True:
        await asyncio.sleep(0.2)
        async with asyncio.timeout(ANSWERED_WITHIN):
            try:
                await client.rpc_once("message.list", {"room": room, "limit": 20})
            except ErrorReply as error:
                assert error.temporary or error.code == 108, f"message.list was refused with {error.code}"


async def _moved_on(crowd: Crowd, heads: dict[str, int]) -> bool:
    """Whether in every room something new has come."""
    return all(crowd.clients[number].feeds[room].seq > heads[room] for number, room in enumerate(crowd.rooms))


async def _another(stack: Stack, part: str, old: int) -> bool:
    return stack.pids(part) not in ([], [old])

"""The wall clock of a whole Redis, Cassandra, Pulsar or edge jumps by an hour under load: nothing is lost or doubled.

Each on a stack of its own, whose other processes go by the right time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chattifier.parts.redis import server
from tests.clients.device import Device
from tests.clients.people import sign_up
from tests.faults.clocks import WrongClock
from tests.faults.conftest import Record, on_demand, times, whole_parts
from tests.faults.crowd import Crowd, Entrance
from tests.faults.functions import Functions
from tests.faults.jumps import Jumps, edited
from tests.patient import AsyncPatient
from tests.running_stack import Stack, started

pytestmark = whole_parts()
STORES = {"redis": server().name, "cassandra": "CassandraDaemon", "pulsar": "PulsarStandaloneStarter"}
PROGRAMS = {**STORES, "edge": "bin/envoy"}
"""What is in the command lines of these parts, and in no others."""


@pytest.fixture
def clock(part: str, tmp_path: Path) -> WrongClock:
    """That of a part. Right until it is set."""
    return WrongClock(tmp_path, PROGRAMS[part])


@pytest.fixture
def stack(part: str, clock: WrongClock, tmp_path: Path) -> Iterator[Stack]:
    """One that has that clock in it."""
    with started(tmp_path / "stack", environment=clock.environment) as own:
        (pid,) = own.pids(part)
        assert clock.is_of(pid), f"{part} goes by the right clock"
        yield own


@on_demand
@pytest.mark.parametrize("part", STORES)
async def test_a_wrong_clock_of_a_store_changes_nothing(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, clock: WrongClock, part: str
) -> None:
    """It jumps ahead, then two hours back, and so on; with Redis' jump ahead, whatever it keeps for a while is gone."""
    jumps = Jumps(stack, functions, chance, record, clock)
    async with edited(stack) as holds:
        await jumps.judged(f"clock of {part} ± 1 h", times(2), holds)


@on_demand
@pytest.mark.parametrize("part", ["edge"])
async def test_a_wrong_clock_of_the_edge_only_changes_when_tokens_end(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, clock: WrongClock
) -> None:
    """Sockets stay and are opened. Ahead it refuses good tokens on paths of one's own; behind it lets them pass."""
    jumps = Jumps(stack, functions, chance, record, clock)
    (ada,) = await sign_up(stack.auth, 1)
    own = {"Authorization": f"Bearer {ada.token}"}

    async with httpx.AsyncClient(base_url=stack.edge, transport=AsyncPatient(), timeout=30.0) as http:

        async def holds(seconds: int, crowd: Crowd) -> None:
            del crowd
            wanted = httpx.codes.UNAUTHORIZED if seconds > 0 else httpx.codes.OK
            assert (await http.get("/user/me", headers=own)).status_code == wanted
            async with Device.connected(ada, Entrance.by_edge(stack).gateways[0]) as device:
                await device.call("room.list")

        await jumps.judged("clock of the edge ± 1 h", times(2), holds, Entrance.by_edge(stack))

"""The wall clock of a whole Redis, Cassandra or Pulsar jumps by an hour under load: nothing is lost, doubled, refused.

Each on a stack of its own, whose other processes go by the right time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from chattifier.parts.redis import server
from tests.faults.clocks import WrongClock
from tests.faults.conftest import Record, on_demand, times
from tests.faults.functions import Functions
from tests.faults.jumps import Jumps, edited
from tests.running_stack import Stack, started

pytestmark = [
    pytest.mark.stack,
    pytest.mark.quiet,
    pytest.mark.kills_parts,
    pytest.mark.anyio,
    pytest.mark.timeout(3600, func_only=True),
]
PROGRAMS = {"redis": server().name, "cassandra": "CassandraDaemon", "pulsar": "PulsarStandaloneStarter"}
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
@pytest.mark.parametrize("part", PROGRAMS)
async def test_a_wrong_clock_of_a_store_changes_nothing(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, clock: WrongClock, part: str
) -> None:
    """It jumps ahead, then two hours back, and so on; with Redis' jump ahead, whatever it keeps for a while is gone."""
    jumps = Jumps(stack, functions, chance, record, clock)
    async with edited(stack) as holds:
        await jumps.judged(f"clock of {part} ± 1 h", times(2), holds)

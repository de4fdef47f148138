"""SIGSTOP of every part under load, for longer than anything waits: as a death, and it must bear waking up again.

Whoever was frozen goes on with what it held, half a minute late, beside whoever took its place meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.faults.conftest import Trial, on_demand, times, whole_parts
from tests.faults.crowd import Crowd, Entrance
from tests.faults.functions import Functions
from tests.running_stack import Stack

pytestmark = whole_parts()
FROZEN = 30.0
"""Seconds."""
TALKS_WITHIN = 120.0
"""Seconds from waking up until there is talk in every room."""
WITHIN = FROZEN + 15.0
"""Seconds from the moment a message was meant to be sent until every member has it."""
PARTS = ("chat-router", "message-store", "archive", "gateway", "redis", "cassandra", "pulsar", "edge", "auth")


@pytest.mark.parametrize("part", [PARTS[0], *(pytest.param(part, marks=on_demand) for part in PARTS[1:])])
async def test_a_frozen_part_costs_nobody_anything(
    stack: Stack, functions: Functions, chance: random.Random, trial: Trial, part: str
) -> None:
    """Half a minute without one process of it, then it goes on where it was: nothing is lost, nothing is doubled."""
    faults = times(1)

    async def freezes(crowd: Crowd) -> None:
        for _ in range(faults):
            await asyncio.sleep(chance.uniform(1.0, 3.0))
            with frozen(stack.workers(part) if part == "auth" else [chance.choice(stack.pids(part))]):
                await asyncio.sleep(FROZEN)
            await crowd.until_settled()
            await crowd.until_all_talk(TALKS_WITHIN)
            await crowd.until_answered(TALKS_WITHIN)
            await functions.until_left("message-store", 200, 300)
        await asyncio.sleep(2.0)

    doors = Entrance.by_edge(stack) if part == "edge" else None
    await trial(f"SIGSTOP {part} for {FROZEN:.0f} s", faults, freezes, WITHIN, doors=doors)


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """The processes stand still; they go on at the end."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

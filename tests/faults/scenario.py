"""One run: gather a crowd, let it talk, strike at random moments, wait for rest, judge."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tests.faults import stored
from tests.faults.crowd import Crowd, Doors, gathered
from tests.faults.functions import Functions
from tests.faults.judge import Fault, Verdict, judge
from tests.running_stack import Stack

WARM = 30.0
"""Seconds of talk before delays shorter than SHORT are judged: a Pulsar and a Cassandra that just started still compile
themselves."""
SHORT = 10.0
"""Seconds."""
_warm: set[tuple[int, ...]] = set()
"""The processes of those that are warm."""

Trouble = Callable[[Crowd], Awaitable[None]]
"""What happens while everybody talks. The talk ends when it returns."""


async def run(
    stack: Stack,
    functions: Functions,
    chance: random.Random,
    trouble: Trouble,
    *,
    within: float,
    again: bool,
    doors: Doors | None = None,
) -> Verdict:
    """The verdict on one run. `within` and `again`: see judge and Crowd.talking. `doors`, if not all of the stack's."""
    here = (*stack.pids("pulsar"), *stack.pids("cassandra"))
    if within < SHORT and here not in _warm:
        _warm.add(here)
        async with gathered(stack, chance) as crowd, crowd.talking(again=True):
            await asyncio.sleep(WARM)
    async with gathered(doors or stack, chance) as crowd:
        async with crowd.talking(again=again):
            await trouble(crowd)
        await functions.until_idle()
        rows = await asyncio.to_thread(stored.read, stack.cassandra, crowd.rooms)
        await crowd.until_heard(rows)
        verdict = judge(crowd.journals, rows, within=within)
        return replace(verdict, findings=(*verdict.findings, *crowd.waited))


async def in_time(run: Callable[[], Awaitable[Verdict]]) -> Verdict:
    """The verdict on one run; if all that is wrong with it is that something was late, on the median of three.

    A machine that is shared stands still now and then, and whatever the system does is late by that. A promise that is
    broken one time in three is none; one that is kept two times in three was not broken by us. Nothing but lateness
    gets a second chance.
    """
    runs = [await run()]
    if _only_late(runs[0]):
        runs += [await run(), await run()]
    wrong = [verdict for verdict in runs if verdict.findings and not _only_late(verdict)]
    by_lateness = sorted(runs, key=lambda verdict: (bool(verdict.findings), verdict.worst))
    return wrong[0] if wrong else by_lateness[len(runs) // 2]


def _only_late(verdict: Verdict) -> bool:
    return {finding.fault for finding in verdict.findings} == {Fault.LATE}

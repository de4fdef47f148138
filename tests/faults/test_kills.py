"""kill -9 of function processes, a flushed and an older Redis, under load: nothing lost, doubled or late."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from functools import partial

import pytest
import redis.asyncio
import redis.exceptions

from tests.clients.waiting import until
from tests.faults.conftest import Trial, between, times
from tests.faults.crowd import Crowd
from tests.faults.functions import Functions
from tests.faults.readers import reading
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.quiet, pytest.mark.anyio, pytest.mark.timeout(1200, func_only=True)]
TIMES = times(5)
WITHIN = 1.0
"""Seconds from the moment a message was meant to be sent until every member has it."""
WITHIN_AFTER_FLUSH = 3.0
"""The same when Redis has lost everything: a gateway learns of it at its next heartbeat (0.25 s), the rooms are rebuilt
when somebody speaks in them (0.02 to 0.6 s on two cores), and who was just connecting tries again. Measured: 1.0 to
1.8 s."""


BACK_WITHIN = 60.0
"""Seconds until Redis answers again: who dies again and again is started again ever later, after 30 s at last."""


@pytest.mark.parametrize("function", ["chat-router", "message-store"])
async def test_a_killed_function_process_costs_nobody_anything(
    functions: Functions, chance: random.Random, trial: Trial, function: str
) -> None:
    """One of two instances dies at random moments: all acked is stored once, all members have all, within a second."""

    async def kills(_crowd: Crowd) -> None:
        for _ in range(TIMES):
            await functions.until_all_consume(function)
            await asyncio.sleep(chance.uniform(0.5, 4.0))  # the next one, too, meets a system that works
            await functions.kill(function, chance.randrange(2))
        await asyncio.sleep(2.0)

    await trial(f"kill -9 {function}", TIMES, kills, WITHIN)


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

    await trial("kill -9 archive", faults, kills, WITHIN)


async def test_a_flushed_redis_costs_nobody_anything(stack: Stack, chance: random.Random, trial: Trial) -> None:
    """Redis loses everything at random moments: no number is used twice, nothing is lost."""

    async def flushes(crowd: Crowd) -> None:
        async with redis.asyncio.Redis.from_url(stack.redis.url) as memory:
            for _ in range(TIMES):
                await crowd.until_settled()
                await asyncio.sleep(chance.uniform(1.0, 3.0))
                await memory.flushall()
            await asyncio.sleep(2.0)

    await trial("FLUSHALL", TIMES, flushes, WITHIN_AFTER_FLUSH)


@pytest.mark.parametrize(("copy", "in_ci"), [("an older copy", 2), ("nothing", 1)])
async def test_a_killed_redis_costs_nobody_anything(
    stack: Stack, chance: random.Random, trial: Trial, copy: str, in_ci: int
) -> None:
    """It comes back with what it had some seconds ago, or as shipped, with nothing: no number is given twice."""
    faults = times(in_ci)
    dump = stack.data / "redis" / "dump.rdb"

    async def kills(crowd: Crowd) -> None:
        for _ in range(faults):
            await crowd.until_settled()
            async with redis.asyncio.Redis.from_url(stack.redis.url) as memory:
                await (memory.save() if copy != "nothing" else memory.ping())
                await asyncio.sleep(chance.uniform(*between(faults)))
                run = (await memory.info("server"))["run_id"]
            (pid,) = stack.pids("redis")
            os.kill(pid, signal.SIGKILL)
            await until("Redis is back", partial(_is_another, stack, run), BACK_WITHIN)
        await crowd.until_settled()
        await asyncio.sleep(2.0)

    dump.unlink(missing_ok=True)
    try:
        await trial(f"kill -9 redis, back with {copy}", faults, kills)
    finally:
        dump.unlink(missing_ok=True)


async def _is_another(stack: Stack, before: str) -> bool:
    with suppress(redis.exceptions.RedisError, OSError):
        async with redis.asyncio.Redis.from_url(stack.redis.url) as memory:
            return bool((await memory.info("server"))["run_id"] != before)
    return False

"""Keeps a function's clock at the time of Redis."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from chat_functions.redis_link import RedisLink, RedisUnavailable
from pulsar_data.clock import Clock

EVERY = 1.0
"""Seconds: another Redis, with another clock, is known so soon."""


async def ask(redis: RedisLink, clock: Clock) -> None:
    """Once. If Redis does not answer, the clock goes on as it was."""
    with suppress(RedisUnavailable):
        asked = time.monotonic()
        ((seconds, micros),) = await redis.execute(lambda pipe, _: pipe.time())
        clock.heard(seconds + micros / 1_000_000, asked, time.monotonic())


async def follow(redis: RedisLink, clock: Clock) -> None:
    """For ever."""
    while True:
        await asyncio.sleep(EVERY)
        await ask(redis, clock)

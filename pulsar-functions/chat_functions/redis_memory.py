"""How full Redis is. Before it refuses every write of ours, nothing new is numbered: so heartbeats, presence, sign-ins
and reads go on, and a repeat of what is numbered is answered.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from chat_functions import logs, metrics
from chat_functions.redis_link import RedisLink, RedisUnavailable

FULL = 0.9
"""The part of `maxmemory` from which on it is. What is left is for what frees memory, and for what must not stop."""
EVERY = 1.0
"""Seconds between two looks."""
REMIND = 60.0
"""Seconds between two lines of the log."""


class RedisMemory:
    """`full` as of the last look; never, where Redis has no bound or does not say."""

    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis
        self._said = float("-inf")
        self.full = False

    async def look(self) -> None:
        """Once. If Redis does not answer, it is as it was."""
        with suppress(RedisUnavailable):
            (info,) = await self._redis.execute(lambda pipe, _: pipe.info("memory"))
            used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
            metrics.REDIS_MEMORY.set(used / most if most else 0.0)
            self.full = most > 0 and used >= FULL * most
            if self.full and time.monotonic() - self._said > REMIND:
                self._said = time.monotonic()
                logs.warning("redis_nearly_full", used=used, maxmemory=most)

    async def follow(self) -> None:
        """For ever."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

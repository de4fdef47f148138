"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(what: str, condition: Callable[[], Awaitable[bool]], within: float, every: float = 0.2) -> None:
    """Ask every so many seconds until it is true. Raises AssertionError that says what was waited for in vain."""
    deadline = time.monotonic() + within
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:.0f} s in vain: {what}")
        await asyncio.sleep(every)

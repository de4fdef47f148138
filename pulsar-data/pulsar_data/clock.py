"""The time as Redis has it: one clock for all, so that a machine whose own clock is wrong harms nobody.

What two parts must agree on (the deadline of a query, the time of an event) is told in it. Its owner asks Redis again
and again and says what it heard; in between, and while Redis does not answer, the time goes on by the monotonic clock.
"""

from __future__ import annotations

import time


class Clock:
    """Before Redis was ever heard it is this machine's own."""

    def __init__(self) -> None:
        self._between: float | None = None
        """Seconds from the monotonic clock to that of Redis."""

    def heard(self, redis: float, asked: float, answered: float) -> None:
        """Redis said `redis` (seconds since the epoch) between two moments of the monotonic clock."""
        self._between = redis - (asked + answered) / 2

    def now(self) -> int:
        """Milliseconds since the epoch."""
        if self._between is None:
            return time.time_ns() // 1_000_000
        return int((time.monotonic() + self._between) * 1000)

    def latest(self) -> int:
        """The later of Redis' time and this machine's: for what must not be refused for being ahead of a clock."""
        return max(self.now(), time.time_ns() // 1_000_000)

"""What a piece of work costs, by the processor's time: not by what else the machine does."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable


def fastest(work: Callable[[], object]) -> float:
    """Seconds of this thread's processor time, of the best of twenty: more than that is others' doing."""
    return min(timeit.repeat(work, timer=time.thread_time, number=1, repeat=20))

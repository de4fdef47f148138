"""What user-auth measures: plain numbers here, in words of Prometheus (exposition.py) only when somebody asks.

So a cold start imports nothing for it. No label has a value that a client can choose: see docs/metrics.md.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of all durations here."""
OK: Final = "ok"
UNKNOWN: Final = "unknown"
"""The endpoint of a request for which there is none."""
Labels = tuple[str, ...]


class Counts:
    """How often something happened, by labels. For many threads."""

    def __init__(self, name: str, says: str, *labels: str) -> None:
        self.name = f"chattifier_auth_{name}"
        self.says = says
        self.labels = labels
        self._lock = threading.Lock()
        self._counts: Counter[Labels] = Counter()

    def add(self, *labels: str) -> None:
        """Once more."""
        with self._lock:
            self._counts[labels] += 1

    def now(self) -> Mapping[Labels, int]:
        """All counts so far."""
        with self._lock:
            return dict(self._counts)


class Durations:
    """How long something took, by labels: how often at most as long as each of SECONDS, or longer, and the sum."""

    def __init__(self, name: str, says: str, *labels: str) -> None:
        self.name = f"chattifier_auth_{name}"
        self.says = says
        self.labels = labels
        self._lock = threading.Lock()
        self._taken: dict[Labels, tuple[list[int], float]] = {}

    def add(self, seconds: float, *labels: str) -> None:
        """It took so long."""
        with self._lock:
            counts, total = self._taken.get(labels, ([0] * (len(SECONDS) + 1), 0.0))
            counts[bisect_left(SECONDS, seconds)] += 1
            self._taken[labels] = counts, total + seconds

    def now(self) -> Mapping[Labels, tuple[list[int], float]]:
        """All durations so far."""
        with self._lock:
            return {labels: (list(counts), total) for labels, (counts, total) in self._taken.items()}


class UnderWay:
    """How many are at something just now."""

    def __init__(self, name: str, says: str) -> None:
        self.name = f"chattifier_auth_{name}"
        self.says = says
        self._lock = threading.Lock()
        self.count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more, for as long as the body runs."""
        with self._lock:
            self.count += 1
        try:
            yield
        finally:
            with self._lock:
                self.count -= 1


REQUESTS: Final = Counts("requests", "Requests by outcome: ok, or the code of the refusal.", "endpoint", "outcome")
REQUEST: Final = Durations("request_seconds", "How long a request took; an export until its first line.", "endpoint")
LIMITED: Final = Counts("limited", "Attempts that were over a limit.", "limit")
HASH: Final = Durations("password_hash_seconds", "How long argon2 took for a password, its wait for a core included.")
HASHING: Final = UnderWay("password_hashes", "Passwords that argon2 is at.")


@contextmanager
def hashing() -> Iterator[None]:
    """Argon2 is at a password."""
    started = time.perf_counter()
    try:
        with HASHING.one():
            yield
    finally:
        HASH.add(time.perf_counter() - started)


def age() -> float | None:
    """Seconds since this process began; None where the system does not tell."""
    try:
        began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError):
        return None

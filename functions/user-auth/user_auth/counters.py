"""Attempts that this process counts by itself, while Redis cannot count them for all."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from user_auth.memory import Count

MOST: Final = 5_000
"""Windows of one limit. The edge lets one address make 3,000 requests a minute; all limits, full, take 10 MB."""


@dataclass(slots=True)
class _Window:
    """`ends` by the clock of Counters."""

    ends: float
    attempts: int = 0


class Counters:
    """Counts as Memory does. Thread-safe. `clock` gives seconds, and never goes back.

    Strangers choose the subjects, so of each limit it keeps `most` windows: one more pushes out the one that ends next.
    Whoever wants a count forgotten has to make that many attempts.
    """

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._open: dict[str, OrderedDict[str, _Window]] = {}

    def count(self, windows: Sequence[tuple[str, str, int]]) -> Sequence[Count]:
        """Count one attempt in each window (limit's name, subject, seconds). The first one opens it.

        All windows of a limit are as long, so they end in the order in which they were opened.
        """
        with self._lock:
            now = self._clock()
            return [self._count(self._ongoing(name, now), subject, now, seconds) for name, subject, seconds in windows]

    def _ongoing(self, name: str, now: float) -> OrderedDict[str, _Window]:
        """The windows of a limit, without those that are over."""
        ongoing = self._open.setdefault(name, OrderedDict())
        while ongoing and next(iter(ongoing.values())).ends <= now:
            ongoing.popitem(last=False)
        return ongoing

    def _count(self, ongoing: OrderedDict[str, _Window], subject: str, now: float, seconds: int) -> Count:
        window = ongoing.get(subject)
        if window is None:
            if len(ongoing) >= self._most:
                ongoing.popitem(last=False)
            window = ongoing[subject] = _Window(now + seconds)
        window.attempts += 1
        return Count(window.attempts, max(round((window.ends - now) * 1000), 1))

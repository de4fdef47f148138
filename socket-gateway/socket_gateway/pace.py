"""How fast one connection asks: a bucket that leaks."""

from __future__ import annotations


class Pace:
    """Each command is a drop, whether it is done or refused; so many drops run out each second.

    So who is refused and asks on and on fills it further, and who waits is let go on.
    """

    __slots__ = ("_at", "_level")

    def __init__(self, now: float) -> None:
        self._level = 0.0
        self._at = now

    def count(self, now: float, rate: float) -> float:
        """Another drop; how many there are now. `now`: seconds of a clock that only rises; `rate`: drops a second."""
        self._level = max(0.0, self._level - (now - self._at) * rate) + 1
        self._at = now
        return self._level

"""How fast one connection may ask: a bucket that leaks."""

from __future__ import annotations


class Pace:
    """Each command is a drop; so many drops run out each second. Above the burst a command is refused (111), above
    twice the burst the connection is closed (3013): it does not listen.

    A refused command is a drop as well, so who asks on and on is closed, and who waits as 111 says is let go on.
    """

    __slots__ = ("_at", "_level")

    def __init__(self, now: float) -> None:
        self._level = 0.0
        self._at = now

    def take(self, now: float, rate: float, burst: int) -> bool | None:
        """True: go on. False: refuse it. None: close. `now` in seconds of a clock that only rises."""
        self._level = max(0.0, self._level - (now - self._at) * rate) + 1
        self._at = now
        if self._level > 2 * burst:
            return None
        return self._level <= burst

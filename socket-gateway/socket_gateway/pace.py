"""How fast one user asks, over all connections to this gateway: a bucket that leaks."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from pulsar_data.model import UserId


class Pace:
    """Each command is a drop, whether it is done or refused; so many drops run out each second.

    So who is refused and asks on and on fills it further, and who waits is let go on.
    """

    __slots__ = ("__weakref__", "_at", "_level")

    def __init__(self, now: float) -> None:
        self._level = 0.0
        self._at = now

    def count(self, now: float, rate: float) -> float:
        """Another drop; how many there are now. `now`: seconds of a clock that only rises; `rate`: drops a second."""
        self._level = self.level(now, rate) + 1
        self._at = now
        return self._level

    def fill(self, now: float, drops: float) -> None:
        """At least so many drops: it takes that much longer until they have run out."""
        self._level = max(self._level, drops)
        self._at = now

    def level(self, now: float, rate: float) -> float:
        """How many drops there are now."""
        return max(0.0, self._level - (now - self._at) * rate)


class Paces:
    """One pace for each user who has a connection, and for a while after the last: coming back makes nobody faster."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: WeakValueDictionary[UserId, Pace] = WeakValueDictionary()

    def of(self, user: UserId, now: float) -> Pace:
        """To be held for as long as the connection lives."""
        pace = self._known.get(user)
        if pace is None:
            pace = self._known[user] = Pace(now)
        return pace

    def remember(self, pace: Pace, seconds: float) -> None:
        """Hold it for so long: when it has run out, a new one is the same."""
        self._loop.call_later(seconds, _forget, pace)


def _forget(_pace: Pace) -> None:
    """Whoever called us held it."""

"""How fast one user asks, over all connections to this gateway: a bucket that leaks."""

from __future__ import annotations

import asyncio
import time
from typing import Final
from weakref import WeakValueDictionary

from pulsar_data.model import UserId

LONGEST: Final = 32
"""So many times as long as the first pause is the sixth in a row, and each after it."""


class Pace:
    """Each command is a drop, a large one several, whether it is done or refused; so many drops run out each second.

    So who is refused and asks on and on fills it further, and who waits is let go on.
    """

    __slots__ = ("__weakref__", "_at", "_level", "_opens", "_pauses", "_ran_out")

    def __init__(self, now: float) -> None:
        self._level = 0.0
        self._at = now
        self._ran_out = 0.0
        self._pauses = 0
        self._opens = now

    def count(self, now: float, rate: float, drops: int = 1) -> float:
        """More drops; how many there are now. `now`: seconds of a clock that only rises; `rate`: drops a second."""
        level = self.level(now, rate)
        if not level:
            self._pauses = 0
        self._ran_out = self._level - level
        self._level = level + drops
        self._at = now
        return self._level

    def unheard(self) -> None:
        """The last one was refused, as too many of the same connection wait: another drop, and none has run out.

        So who is refused and asks on is closed soon, even where everything is too slow for it to be too fast.
        """
        self._level += self._ran_out + 1
        self._ran_out = 0.0

    def shut(self, now: float, rate: float, burst: int, pause: float) -> None:
        """It runs over: fill it so far that `pause` seconds pass until there are `burst` drops again.

        Each further time twice as long, until it has once run dry. `rate`: drops a second.
        """
        if now < self._opens:  # another connection of the user has shut it
            return
        seconds = pause * min(2**self._pauses, LONGEST)
        self._pauses += 1
        self._opens = now + seconds
        self._level = max(self.level(now, rate), burst + rate * seconds)
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

    def remember(self, pace: Pace, rate: float) -> None:
        """Hold it until it has run dry, at so many drops a second: a new one is the same then."""
        self._loop.call_later(pace.level(time.monotonic(), rate) / rate, _forget, pace)


def _forget(_pace: Pace) -> None:
    """Whoever called us held it."""

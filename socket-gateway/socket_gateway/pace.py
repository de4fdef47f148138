"""How fast one user asks, over all connections to this gateway: a bucket that leaks."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final
from weakref import WeakValueDictionary

from pulsar_data.model import UserId

LONGEST: Final = 32
"""So many times as long as the first pause is the sixth in a row, and each after it."""
SPREAD: Final = 0.5
"""A pause is longer by up to this part of it, by chance: who were shut together do not come back together."""
DISTRUSTED: Final = 16
"""So many drops at once are done of who was let in again, until they were not shut for as long as their pause was."""
DISTRUSTED_MOST: Final = 400
"""With so many it is shut again: who comes in asks for up to a hundred rooms, and soon again for what was refused. To
refuse is cheap."""


class Pace:
    """Each command is a drop, a large one several, whether it is done or refused; so many drops run out each second.

    So who is refused and asks on and on fills it further, and who waits is let go on.
    """

    __slots__ = ("__weakref__", "_at", "_level", "_opens", "_pauses", "_ran_out", "_trusted")

    def __init__(self, now: float) -> None:
        self._level = 0.0
        self._at = now
        self._ran_out = 0.0
        self._pauses = 0
        self._opens = self._trusted = now

    def count(self, now: float, rate: float, drops: int = 1) -> float:
        """More drops; how many there are now. `now`: seconds of a clock that only rises; `rate`: drops a second."""
        level = self.level(now, rate)
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
        """It runs over: fill it so far that `pause` seconds pass until there are no more drops than may be at once.

        Each further time twice as long, until it was once trusted again. `rate`: drops a second; `burst`: see `burst`.
        """
        if now < self._opens:  # another connection of the user has shut it
            return
        if now >= self._trusted:
            self._pauses = 0
        seconds = pause * min(2**self._pauses, LONGEST) * random.uniform(1, 1 + SPREAD)
        self._pauses += 1
        allowed = min(burst, DISTRUSTED)
        self._level = max(self.level(now, rate), allowed + rate * seconds)
        self._at = now
        shut = (self._level - allowed) / rate
        self._opens, self._trusted = now + shut, now + 2 * shut

    def burst(self, now: float, most: int) -> tuple[int, int]:
        """How many drops there may be at once, and with how many it runs over: `most` and twice that, but of who was
        shut lately.
        """
        return (most, 2 * most) if now >= self._trusted else (min(most, DISTRUSTED), min(2 * most, DISTRUSTED_MOST))

    def level(self, now: float, rate: float) -> float:
        """How many drops there are now."""
        return max(0.0, self._level - (now - self._at) * rate)

    def differs(self, now: float, rate: float) -> float:
        """Seconds until nothing tells it from a new one: it is dry, and trusted."""
        return max(self.level(now, rate) / rate, self._trusted - now)


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
        """Hold it until a new one is the same; `rate`: drops that run out each second."""
        self._loop.call_later(pace.differs(time.monotonic(), rate), _forget, pace)


def _forget(_pace: Pace) -> None:
    """Whoever called us held it."""

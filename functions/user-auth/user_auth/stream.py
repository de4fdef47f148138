"""Bodies of answers that are made while they are sent."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Final

from user_auth import logs

GRACE: Final = 60.0
"""Seconds for which a reader may be as slow as it likes; what we need to make a piece is not counted."""
SLOWEST: Final = 32 * 1024
"""Bytes a second that it must have taken on the average from then on."""


class Broken(Exception):
    """A body that is under way cannot be finished: its sender must break off, so that nobody takes a part for all."""


class Stream:
    """A body that is made while it is sent. Whoever has it takes its pieces once, and closes it in any case.

    The first piece is made at once, so what fails before it is still an answer of its own. What fails later raises
    Broken, without a word of why; so does a reader that keeps others waiting. `done` is called once, at the end or when
    it is closed. `clock` gives seconds.
    """

    def __init__(
        self, pieces: Iterator[bytes], done: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pieces = pieces
        self._clock = clock
        self._done: Callable[[], None] | None = done
        try:
            self._first = next(pieces, b"")
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        waited, taken = 0.0, 0
        try:
            for piece in itertools.chain([self._first], self._pieces):
                begun = self._clock()
                yield piece
                waited, taken = waited + self._clock() - begun, taken + len(piece)
                if waited > GRACE and taken < SLOWEST * waited:
                    raise TimeoutError("the reader is too slow")
        except Exception as error:  # noqa: BLE001  the edge: the status is on its way already
            logs.failure("stream_broken", error)
            raise Broken("broken off") from None
        finally:
            self.close()

    def close(self) -> None:
        """Give back what it holds. Repeating it changes nothing."""
        done, self._done = self._done, None
        if done is not None:
            done()

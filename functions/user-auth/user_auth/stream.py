"""Bodies of answers that are made while they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from user_auth import logs


class Broken(Exception):
    """A body that is under way cannot be finished: its sender must break off, so that nobody takes a part for all."""


class Stream:
    """A body that is made while it is sent. Whoever has it takes its pieces once, and closes it in any case.

    The first piece is made at once, so what fails before it is still an answer of its own. What fails later raises
    Broken, without a word of why. `done` is called once, at the end or when it is closed.
    """

    def __init__(self, pieces: Iterator[bytes], done: Callable[[], None]) -> None:
        self._pieces = pieces
        self._done: Callable[[], None] | None = done
        try:
            self._first = next(pieces, b"")
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield self._first
            yield from self._pieces
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

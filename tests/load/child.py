"""A process of its own for the clients, and the conversation with it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TypeVar

from tests.load.errors import LoadFailed

ENDS_WITHIN = 10.0
T = TypeVar("T")
P = TypeVar("P")


class Child:
    """The parent's end."""

    def __init__(self, link: Connection) -> None:
        self._link = link

    def expect(self, kind: type[T], within: float) -> T:
        """What the child says next. Raises LoadFailed with its words if it failed, and if it says nothing."""
        if not self._link.poll(within):
            raise LoadFailed(f"The clients said nothing for {within:.0f} s.")
        try:
            said = self._link.recv()
        except EOFError as error:
            raise LoadFailed("The process of the clients has died: its trace is above.") from error
        if isinstance(said, LoadFailed):
            raise said
        assert isinstance(said, kind), f"expected {kind.__name__}, got {said!r}"
        return said

    def go_on(self) -> None:
        """What it waits for."""
        self._link.send("go on")


@contextmanager
def started(target: Callable[[P, Connection], None], plan: P) -> Iterator[Child]:
    """Run `target(plan, link)` in a fresh process; it has ended when this context does."""
    fresh = multiprocessing.get_context("spawn")
    ours, theirs = fresh.Pipe()
    process = fresh.Process(target=target, args=(plan, theirs))
    process.start()
    theirs.close()
    try:
        yield Child(ours)
    finally:
        ours.close()
        process.join(ENDS_WITHIN)
        if process.is_alive():
            process.kill()
            process.join()

"""What comes from Pulsar is handled in its order, and never for long at a stretch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from socket_gateway.inbox import TURN, Inbox

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]
STEP = 0.002
"""Seconds of one step here, as of a publication for some hundred members."""


@pytest.fixture
def anyio_backend() -> str:
    """The gateway's loop."""
    return "asyncio"


class Worker:
    """Handles messages, which are numbers of steps here, and writes down what it did and what it said of it."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.handled: dict[int, tuple[int, int]] = {}
        """After which step it was said of which message."""
        self.inbox = Inbox(asyncio.get_running_loop(), self._handle, self._handled)

    def _handle(self, message: Any) -> Iterator[None]:
        for number in range(message):
            time.sleep(STEP)
            self.steps.append((message, number))
            yield

    def _handled(self, message: Any) -> None:
        self.handled[message] = self.steps[-1]

    async def work(self, *messages: int) -> int:
        """Until all is handled; returns how many turns others had meanwhile."""
        for message in messages:
            self.inbox.listener(None, message)  # type: ignore[arg-type]
        turns = 0
        while messages[-1] not in self.handled:
            await asyncio.sleep(0)
            turns += 1
        return turns


async def test_everybody_else_has_a_turn_meanwhile() -> None:
    """Between messages, and between the steps of one."""
    worker = Worker()
    assert await worker.work(1, 2, 3, 200) >= 206 * STEP / (2 * TURN)
    assert worker.steps == [(message, number) for message in (1, 2, 3, 200) for number in range(message)]


async def test_what_is_said_to_be_handled_is_whole() -> None:
    """Up to a message whose steps are all done: what is said of it is acknowledged."""
    worker = Worker()
    await worker.work(3, 50, 4)
    order = [3, 50, 4]
    for message, step in worker.handled.items():
        assert (order.index(message), message - 1) <= (order.index(step[0]), step[1])
    assert worker.handled[4] == (4, 3)


async def test_one_that_cannot_be_handled_does_not_stop_the_next() -> None:
    """An error is the loop's to report."""
    seen: asyncio.Queue[int] = asyncio.Queue()
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    def handle(message: Any) -> Iterator[None]:
        if message == 1:
            raise ValueError(message)
        seen.put_nowait(message)
        return iter(())

    inbox = Inbox(asyncio.get_running_loop(), handle, lambda _: None)
    for message in (1, 2):
        inbox.listener(None, message)  # type: ignore[arg-type]
    assert await seen.get() == 2
    assert [str(error) for error in errors] == ["1"]

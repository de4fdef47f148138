"""Answers that come in the threads of a client library, gathered for the loop: one wake-up for all of them."""

from __future__ import annotations

import asyncio
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Gathering(Generic[T]):
    """`count` answers by index. Made in the loop that waits for them."""

    def __init__(self, count: int, unanswered: T) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._open = count
        self._answers = [unanswered] * count
        self._done: asyncio.Future[list[T]] = self._loop.create_future()
        if count == 0:
            self._done.set_result([])

    def answer(self, index: int, answer: T) -> None:
        """Any thread; once for each index."""
        with self._lock:
            self._answers[index] = answer
            self._open -= 1
            last = self._open == 0
        if last:
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(self._answers)

    async def all(self) -> list[T]:
        """All answers, in the order of their indices. Ends when the library's own timeouts have passed."""
        return await self._done

"""From the Pulsar client's threads into the event loop, in order and in bulk."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

import pulsar

TURN = 256
"""Messages handled in one turn of the loop before others get theirs."""


class Inbox:
    """A bounded queue with one wake-up per burst instead of one per message.

    Full: the library's thread waits, and so does the broker behind its receiver queue. `handled` runs after each turn
    with the last message: everything up to it has been handled.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handle: Callable[[pulsar.Message], None],
        handled: Callable[[pulsar.Message], None],
        limit: int = 2000,
    ) -> None:
        self._loop = loop
        self._handle = handle
        self._handled = handled
        self._places = threading.Semaphore(limit)
        self._messages: deque[pulsar.Message] = deque()
        self._lock = threading.Lock()
        self._awake = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def listener(self, _source: object, message: pulsar.Message) -> None:
        """The `message_listener` or `reader_listener`; runs in a thread of the library."""
        self._places.acquire()
        with self._lock:
            self._messages.append(message)
            if self._awake or self._closed:
                return
            self._awake = True
            self._loop.call_soon_threadsafe(self._drain)

    def close(self) -> None:
        """Take no more; frees a thread that waits for a place."""
        with self._lock:
            self._closed = True
        self._places.release(TURN)

    def _drain(self) -> None:
        message: pulsar.Message | None = None
        for _ in range(min(TURN, len(self._messages))):
            message = self._messages.popleft()
            self._places.release()
            self._handle(message)
        if message is not None:
            self._handled(message)
        self._rest()

    def _rest(self) -> None:
        with self._lock:
            if self._messages and not self._closed:
                self._loop.call_soon(self._drain)
            else:
                self._awake = False

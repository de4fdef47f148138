"""From the Pulsar client's threads into the event loop, in order and in bulk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import pulsar

TURN: Final = 0.01
"""Seconds of one turn of the loop, and the step in which they end, before sockets, timers and heartbeats get theirs.

Not a number of messages: one may be an answer to one socket, or a batch of publications for ten thousand members each.
"""
Steps = Iterator[object]
"""Handles a message, a part with each `next`."""


class Inbox:
    """A bounded queue with one wake-up per burst instead of one per message.

    Full: the library's thread waits, and so does the broker behind its receiver queue. `handled` runs after each turn
    with the last message of which all steps are done: everything up to it has been handled.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handle: Callable[[pulsar.Message], Steps],
        handled: Callable[[pulsar.Message], None],
        limit: int = 2000,
    ) -> None:
        self._loop = loop
        self._handle = handle
        self._handled = handled
        self._places = threading.Semaphore(limit)
        self._limit = limit
        self._messages: deque[pulsar.Message] = deque()
        self._under_way: tuple[pulsar.Message, Steps] | None = None
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
        self._places.release(self._limit)

    def _drain(self) -> None:
        end = time.monotonic() + TURN
        done: pulsar.Message | None = None
        try:
            while (under_way := self._next()) is not None:
                message, steps = under_way
                if next(steps, _DONE) is _DONE:
                    self._under_way, done = None, message
                if time.monotonic() >= end:
                    break
            if done is not None:
                self._handled(done)
        finally:
            self._rest()

    def _next(self) -> tuple[pulsar.Message, Steps] | None:
        if self._under_way is None and self._messages:
            message = self._messages.popleft()
            self._places.release()
            self._under_way = message, self._handle(message)
        return self._under_way

    def _rest(self) -> None:
        with self._lock:
            if (self._messages or self._under_way is not None) and not self._closed:
                self._loop.call_soon(self._drain)
            else:
                self._awake = False


_DONE: Final = object()

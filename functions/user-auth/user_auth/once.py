"""A connection made at first use: once, by one thread, and again after it could not be made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from user_auth.errors import Unavailable

T = TypeVar("T")


class Once(Generic[T]):
    """Holds what `make` returns, from the first `get` on.

    One thread makes it; others wait for it up to `patience` seconds. Where `make` raises Unavailable, all calls within
    the next `pause` seconds are refused at once: a queue of requests does not try a dead peer one after another.
    """

    def __init__(self, make: Callable[[], T], patience: float = 3.0, pause: float = 0.5) -> None:
        self._make = make
        self._patience = patience
        self._pause = pause
        self._lock = threading.Lock()
        self._made: T | None = None
        self._failed_at = float("-inf")

    def get(self) -> T:
        """The thing. Raises Unavailable."""
        if (made := self._made) is not None:
            return made
        if not self._lock.acquire(timeout=self._patience):
            raise Unavailable
        try:
            return self._made if self._made is not None else self._try()
        finally:
            self._lock.release()

    def forget(self, made: T) -> bool:
        """The next `get` makes another one in its place. Whether it was held until now."""
        if self._made is not made:  # as a rule whoever makes another one just now is not waited for
            return False
        with self._lock:
            held = self._made is made
            if held:
                self._made = None
            return held

    def _try(self) -> T:
        if time.monotonic() - self._failed_at < self._pause:
            raise Unavailable
        try:
            self._made = self._make()
        except Unavailable:
            self._failed_at = time.monotonic()
            raise
        return self._made

"""Follows the topic `config` on a thread of its own: what is published is in force at once, and after a restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Final

import pulsar
import structlog

from pulsar_data.config import Live, reason
from socket_gateway.settings import Limits

log = structlog.get_logger()

PATIENCE: Final = 5.0
"""Seconds that a gateway waits for settings at its start (it takes 10 ms); then it goes on with those it was given."""
QUIET: Final = 60.0
"""Seconds of one wait for the next message. It costs nothing: without a limit the library would look every 0.1 s."""
CATCH_UP: Final = 1.0
"""Seconds to wait for a message that the broker says is there."""
RETRY: Final = 1.0
"""Seconds before it tries again to read a topic that cannot be read."""
ABSENT: Final = 5.0
"""Seconds before it looks again for a topic that is not there: nothing was published yet."""


class ConfigReader:
    """`changed` gets the new limits, in the thread. While Pulsar is away the library reconnects by itself."""

    def __init__(self, opened: Callable[[], pulsar.Reader], live: Live[Limits], changed: Callable[[], None]) -> None:
        self._opened = opened
        self._live = live
        self._changed = changed
        self._caught_up = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="config", daemon=True)

    async def start(self) -> None:
        """Returns when everything that was published is in force, or the patience is over."""
        self._thread.start()
        if not await asyncio.to_thread(self._caught_up.wait, PATIENCE):
            log.warning("config_late")

    def close(self) -> None:
        """Read no more; the reader itself ends with its client."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._read()
            except pulsar.TopicNotFound:
                self._caught_up.set()
                self._closed.wait(ABSENT)
            except pulsar.PulsarException as error:
                if not self._closed.wait(RETRY):
                    log.warning("config_unread", error=type(error).__name__)

    def _read(self) -> None:
        with closing(self._opened()) as reader:
            while reader.has_message_available() and self._next(reader, CATCH_UP):
                pass
            self._caught_up.set()
            while not self._closed.is_set():
                self._next(reader, QUIET)

    def _next(self, reader: pulsar.Reader, wait: float) -> bool:
        """Apply the next message; whether there was one in so many seconds."""
        try:
            message = reader.read_next(timeout_millis=round(wait * 1000))
        except pulsar.Timeout:
            return False
        try:
            published = self._live.apply(message.data())
        except ValueError as error:
            log.error("config_ignored", message=str(message.message_id()), reason=reason(error))
        else:
            if published is not None:
                self._changed()
                log.info("config_applied", group=published.group, version=published.version)
        return True

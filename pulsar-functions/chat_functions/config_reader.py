"""Follows the topic `config` on a thread of its own: what is published is in force at once, and after a restart."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import closing

import pulsar

from chat_functions import logs
from chat_functions.settings import Settings
from pulsar_data import topics
from pulsar_data.config import Live, reason

PATIENCE = 5.0
"""Seconds that an instance waits for settings before it subscribes: then it goes on with those that it was given.

It takes 10 ms; more only where all is so busy that the subscription would wait as well."""
QUIET = 60.0
"""Seconds of one wait for the next message. It costs nothing: without a limit the library would look every 0.1 s."""
CATCH_UP = 1.0
"""Seconds to wait for a message that the broker says is there."""
RETRY = 1.0
"""Seconds before it tries again to read a topic that cannot be read."""
ABSENT = 5.0
"""Seconds before it looks again for a topic that is not there: nothing was published yet."""


class ConfigReader:
    """Applies to `live`, for as long as the process lives. While Pulsar is away the library reconnects by itself."""

    def __init__(self, client: pulsar.Client, live: Live[Settings]) -> None:
        self._client = client
        self._live = live
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chattifier-config", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def caught_up(self) -> None:
        """Until everything that was published is in force, or the patience is over."""
        if not await asyncio.to_thread(self._caught_up.wait, PATIENCE):
            logs.warning("config_late")  # going on with the settings of the start

    def _run(self) -> None:
        while True:
            try:
                self._read()
            except pulsar.TopicNotFound:
                self._caught_up.set()
                time.sleep(ABSENT)
            except pulsar.PulsarException as error:
                logs.warning("config_unread", error=type(error).__name__)
                time.sleep(RETRY)

    def _read(self) -> None:
        with closing(
            self._client.create_reader(topics.CONFIG, pulsar.MessageId.earliest, is_read_compacted=True)
        ) as reader:
            while reader.has_message_available() and self._next(reader, CATCH_UP):
                pass
            self._caught_up.set()
            while True:
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
            logs.error("config_ignored", message=str(message.message_id()), reason=reason(error))
        else:
            if published is not None:
                logs.info("config_applied", group=published.group, version=published.version)
        return True

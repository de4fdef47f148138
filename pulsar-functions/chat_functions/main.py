"""What Pulsar calls: the function classes that `className` in the function configs names. Thin: see batching.py.

The constructors do nothing: Pulsar calls them inside a bare `except`. Everything is made at the first message. But
everything is imported here: Pulsar imports RawBytes before it subscribes, so no message waits for imports.
"""

from __future__ import annotations

import asyncio
import logging

import pulsar

from chat_functions import archive, router, store
from chat_functions.batching import Handler, Inbox, Loop
from chat_functions.search import indexer
from chat_functions.settings import Settings


class RawBytes(pulsar.SerDe):
    """Payloads as they are: the default SerDe guesses types."""

    def serialize(self, input: bytes) -> bytes:
        """Bytes stay bytes."""
        return input

    def deserialize(self, input_bytes: bytes) -> bytes:
        """Bytes stay bytes."""
        return input_bytes


class _BatchFunction(pulsar.Function):
    """Hands every message to a loop of its own."""

    def __init__(self) -> None:
        self._inbox: Inbox | None = None

    def process(self, input: bytes, context: pulsar.Context) -> None:
        """One message; returns at once unless too much is in flight. The loop acks it."""
        if self._inbox is None:
            self._inbox = self._start(context)
        self._inbox.submit(context.message)

    def _start(self, context: pulsar.Context) -> Inbox:
        logging.getLogger("chat_functions").setLevel(logging.INFO)
        settings = Settings.from_user_config(context.get_user_config_map())
        inbox = Inbox(context, settings.batch, settings.in_flight)
        client = context.get_pulsar_client()
        Loop(inbox, lambda inbox, tasks: self.build(client, inbox, tasks, settings)).start()
        return inbox

    def build(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, settings: Settings) -> Handler:
        """The handler of this function."""
        raise NotImplementedError


class ChatRouter(_BatchFunction):
    """commands -> events, deliveries."""

    def build(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, settings: Settings) -> Handler:
        """See router.py."""
        return router.ChatRouter(client, inbox, tasks, settings)


class MessageStore(_BatchFunction):
    """events -> Cassandra."""

    def build(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, settings: Settings) -> Handler:
        """See store.py."""
        return store.MessageStore(client, inbox, tasks, settings)


class Archive(_BatchFunction):
    """queries -> deliveries."""

    def build(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, settings: Settings) -> Handler:
        """See archive.py."""
        return archive.Archive(client, inbox, tasks, settings)


class SearchIndex(_BatchFunction):
    """events -> message_terms."""

    def build(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, settings: Settings) -> Handler:
        """See search/indexer.py."""
        return indexer.SearchIndex(client, inbox, tasks, settings)

"""What Pulsar calls: the function classes that `className` in the function configs names, and their serializer.

Thin: what happens is in instance.py and batching.py. The constructors of the functions do nothing: Pulsar calls them
inside a bare `except`.
"""

from __future__ import annotations

import sys

import pulsar

from chat_functions.instance import Instance


class RawBytes(pulsar.SerDe):
    """Payloads as they are: the default SerDe guesses types.

    Pulsar makes it just before it subscribes: the moment to get ready, see instance.py.
    """

    def __init__(self) -> None:
        Instance.of_this_process().get_ready(sys._getframe(1).f_locals.get("self"))

    def serialize(self, input: bytes) -> bytes:
        """Bytes stay bytes."""
        return input

    def deserialize(self, input_bytes: bytes) -> bytes:
        """Bytes stay bytes."""
        return input_bytes


class _BatchFunction(pulsar.Function):
    """Hands every message to the loop of this process."""

    def __init__(self) -> None:
        self._instance = Instance.of_this_process()

    def process(self, input: bytes, context: pulsar.Context) -> None:
        """One message; returns at once unless too much is in flight. The loop acks it."""
        self._instance.submit(type(self).__name__, context)


class ChatRouter(_BatchFunction):
    """commands -> events, deliveries: router.py."""


class MessageStore(_BatchFunction):
    """events -> Cassandra: store.py."""


class Archive(_BatchFunction):
    """queries -> deliveries: archive.py."""


class SearchIndex(_BatchFunction):
    """events -> message_terms: search/indexer.py."""

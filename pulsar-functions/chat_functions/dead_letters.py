"""Dead letters: messages that can never succeed, kept for ever with their reason (`chattifier dead-letters`)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Final

from chat_functions import logs, metrics
from chat_functions.batching import Inbox, Incoming
from chat_functions.producers import Outgoing, TopicProducer
from pulsar_data import topics

REMEMBERED: Final = 1000
"""Messages of which an instance knows that it has buried them."""


class DeadLetters:
    """The dead-letter topic of one function."""

    def __init__(self, producer: TopicProducer, inbox: Inbox) -> None:
        self._producer = producer
        self._inbox = inbox
        self._burials: OrderedDict[str, asyncio.Event] = OrderedDict()

    async def bury(self, incoming: Incoming, reason: str) -> None:
        """Publish the payload unchanged, then ack. If that fails it is not acked: the broker brings it again.

        Once, though the broker may bring a message again before our ack of it has come. `reason` is for people, and
        holds nothing of the payload.
        """
        if (buried := self._burials.get(incoming.source)) is None:
            buried = self._burials[incoming.source] = asyncio.Event()
            await self._publish(incoming, reason)
            buried.set()
            while len(self._burials) > REMEMBERED and next(iter(self._burials.values())).is_set():
                self._burials.popitem(last=False)
        await buried.wait()
        self._inbox.finish(incoming)

    async def _publish(self, incoming: Incoming, reason: str) -> None:
        message = incoming.message
        now = str(int(time.time() * 1000))
        properties = {
            "reason": reason,
            "attempts": str(incoming.attempts + 1),
            "source-topic": message.topic_name(),
            "source-message-id": str(message.message_id()),
            "first-time": str(message.publish_timestamp()),
            "last-time": now,
        }
        incoming.span.note("dead letter")
        properties |= incoming.span.properties or {}
        letter = Outgoing(message.partition_key(), incoming.payload, properties)
        while not (await self._producer.publish([letter]))[0]:
            logs.warning("dead_letter_waits", source=incoming.source)
        metrics.DEAD_LETTERS.inc()
        logs.error("dead_letter", source=incoming.source, reason=reason, see="chattifier dead-letters list")


def invalid(error: ValueError) -> str:
    """A reason for a message that is not of its schema: which fields and why, none of their values."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return "not valid"
    details = errors(include_url=False, include_context=False, include_input=False)
    shown = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'message'}: {one['type']}" for one in details[:5])
    return f"not of the schema: {shown}"


def topic(function: str) -> str:
    """Where that function's dead letters go."""
    return topics.dead_letters(function)

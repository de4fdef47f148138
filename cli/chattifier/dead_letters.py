"""Dead letters: what the functions could never process. List, show, replay, drop.

A durable subscription of ours holds what was dealt with: removing a letter is acknowledging it there. The topic keeps
it all the same (its retention is infinite), so nothing is lost by a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pulsar
from pulsar.schema import BytesSchema

from chat_functions.event_schema import EventSchema
from chattifier.errors import StackError
from chattifier.pulsar_client import Broker, connected
from pulsar_data import topics

SUBSCRIPTION = "operators"
QUIET_MS = 1000
"""No more letters for so long, twice, and the broker answers in between: that was all, as the last ones were dealt with
before."""


@dataclass(frozen=True)
class Letter:
    """One dead letter; `messages` are its copies (two instances may have buried the same message)."""

    id: str
    key: str
    reason: str
    attempts: str
    source_topic: str
    source_message_id: str
    first_time: str
    last_time: str
    payload: bytes = field(repr=False)
    messages: tuple[pulsar.Message, ...] = field(repr=False, compare=False)


class Mailbox:
    """The dead letters of one function."""

    def __init__(self, client: pulsar.Client, consumer: pulsar.Consumer) -> None:
        """See `opened`."""
        self._client = client
        self._consumer = consumer

    def letters(self) -> list[Letter]:
        """Those not dealt with, oldest first, each once."""
        copies: dict[tuple[str, str], list[pulsar.Message]] = {}
        for message in self._unacked():
            properties = message.properties()
            source = (properties.get("source-topic", ""), properties.get("source-message-id", _id(message)))
            copies.setdefault(source, []).append(message)
        return [_letter(messages) for messages in copies.values()]

    def replay(self, letter: Letter) -> None:
        """Publish the payload to where it came from, under its key, and then (so it is never lost) remove it."""
        topic = re.sub(r"-partition-\d+$", "", letter.source_topic)  # its key leads it to the same partition
        if not topic:
            raise StackError(f"Dead letter {letter.id} does not say where it came from, so it cannot be replayed.")
        schema = EventSchema() if topic == topics.EVENTS else BytesSchema()
        producer = self._client.create_producer(topic, schema=schema, batching_enabled=False)
        producer.send(letter.payload, partition_key=letter.key)
        producer.close()
        self.drop(letter)

    def drop(self, letter: Letter) -> None:
        """Remove the letter, with its copies."""
        for message in letter.messages:
            self._consumer.acknowledge(message)

    def _unacked(self) -> Iterator[pulsar.Message]:
        last = _place(self._consumer.get_last_message_id())
        while (message := self._next()) is not None:
            yield message
            if _place(message.message_id()) >= last:
                return

    def _next(self) -> pulsar.Message | None:
        for _ in range(2):
            with suppress(pulsar.Timeout):
                return self._consumer.receive(timeout_millis=QUIET_MS)
            self._consumer.get_last_message_id()  # however long it stood still
        return None


@contextmanager
def opened(broker: Broker, function: str) -> Iterator[Mailbox]:
    """Open the mailbox of a function, for one operator at a time. Raises StackError if that is not possible."""
    with connected(broker) as client:
        try:
            consumer = client.subscribe(
                topics.dead_letters(function), SUBSCRIPTION, initial_position=pulsar.InitialPosition.Earliest
            )
        except pulsar.ConsumerBusy as error:
            raise StackError(
                "Somebody else is at these dead letters at the moment: try again when they are done."
            ) from error
        yield Mailbox(client, consumer)


def find(letters: Sequence[Letter], wanted: str) -> Letter:
    """The letter of that id. Raises StackError if there is none."""
    for letter in letters:
        if letter.id == wanted:
            return letter
    raise StackError(f"There is no dead letter {wanted}: see `chattifier dead-letters list`.")


def _letter(messages: Sequence[pulsar.Message]) -> Letter:
    first, properties = messages[0], messages[-1].properties()
    return Letter(
        id=_id(first),
        key=str(first.partition_key()),
        reason=properties.get("reason", ""),
        attempts=properties.get("attempts", ""),
        source_topic=properties.get("source-topic", ""),
        source_message_id=properties.get("source-message-id", ""),
        first_time=first.properties().get("first-time", ""),
        last_time=properties.get("last-time", ""),
        payload=first.data(),
        messages=tuple(messages),
    )


def _id(message: pulsar.Message) -> str:
    ledger, entry, batch = _place(message.message_id())
    return f"{ledger}:{entry}" if batch < 0 else f"{ledger}:{entry}:{batch}"


def _place(message_id: pulsar.MessageId) -> tuple[int, int, int]:
    return message_id.ledger_id(), message_id.entry_id(), message_id.batch_index()

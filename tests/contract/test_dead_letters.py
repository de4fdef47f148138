"""What can never succeed: in the dead-letter topic with its reason, payload unchanged, and the room goes on."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass

import pulsar
import pytest
from pulsar.schema import BytesSchema

from chat_functions.batching import Inbox
from chat_functions.dead_letters import DeadLetters
from chat_functions.event_schema import EventSchema
from chat_functions.producers import TopicProducer
from chat_functions.traces import Traces
from pulsar_data import topics
from tests.running_stack import Stack

pytestmark = pytest.mark.stack
INPUTS = {
    "chat-router": topics.COMMANDS,
    "message-store": topics.EVENTS,
    "archive": topics.QUERIES,
    "search-index": topics.EVENTS,
}


@pytest.mark.parametrize("function", topics.FUNCTIONS)
def test_a_poison_message_is_buried_with_its_reason(stack: Stack, function: str) -> None:
    """Not of our schema: the letter says why, where from and how often it was tried, and holds the same bytes."""
    payload = b'{"type":"of_tomorrow","id":"' + uuid.uuid4().hex.encode() + b'"}'
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    try:
        letters = client.create_reader(topics.dead_letters(function), pulsar.MessageId.latest)
        schema = EventSchema() if INPUTS[function] == topics.EVENTS else BytesSchema()
        producer = client.create_producer(INPUTS[function], schema=schema)
        producer.send(payload, partition_key=str(uuid.uuid4()))
        deadline = time.monotonic() + 30
        while True:
            letter = letters.read_next(timeout_millis=max(1, int((deadline - time.monotonic()) * 1000)))
            if letter.data() == payload:
                break
        properties = letter.properties()
        assert properties["reason"].startswith("not of the schema")
        assert properties["attempts"] == "1"
        assert properties["source-topic"].startswith(INPUTS[function])
        assert "of_tomorrow" not in properties["reason"]
    finally:
        client.close()


@dataclass
class Context:
    """Of a function that has a message; acks go to the broker late, as those of Pulsar's own do."""

    message: pulsar.Message
    acked: list[str]

    def ack(self, message: pulsar.MessageId, _topic: str) -> None:
        """It is done with."""
        self.acked.append(str(message))


@pytest.mark.anyio
async def test_what_the_broker_brings_again_is_buried_once(stack: Stack) -> None:
    """While it is being buried, and when it has been and the ack is not with the broker yet; each time it is acked."""
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    topic, grave = (f"persistent://chat/core/test-{uuid.uuid4()}" for _ in range(2))
    acked: list[str] = []
    try:
        poison = client.subscribe(topic, "test")
        client.create_producer(topic).send(b"poison")
        inbox = Inbox(batch=3, in_flight=3, traces=Traces())
        for _ in range(3):
            inbox.submit(Context(poison.receive(10_000), acked))  # type: ignore[arg-type]
            poison.redeliver_unacknowledged_messages()
        first, second, third = await inbox.take()
        assert len({first.source, second.source, third.source}) == 1

        graves = DeadLetters(TopicProducer(client, grave), inbox)
        await asyncio.gather(graves.bury(first, "not valid"), graves.bury(second, "not valid"))
        await graves.bury(third, "not valid")

        letters = client.create_reader(grave, pulsar.MessageId.earliest)
        assert letters.read_next(10_000).data() == b"poison"
        assert not letters.has_message_available()
        assert acked == [str(first.message.message_id())] * 3
        assert inbox.held() == 0
    finally:
        client.close()

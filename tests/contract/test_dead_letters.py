"""What can never succeed: in the dead-letter topic with its reason, payload unchanged, and the room goes on."""

from __future__ import annotations

import time
import uuid

import pulsar
import pytest
from pulsar.schema import BytesSchema

from chat_functions.event_schema import EventSchema
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

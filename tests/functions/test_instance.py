"""An instance around its loop: what it can be, and its reminders to a real broker."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator

import pulsar
import pytest

from chat_functions import instance, main
from chat_functions.nudge import FEW, Nudge
from tests.running_stack import Stack


def test_every_function_has_a_handler_of_its_name() -> None:
    """Pulsar is told the class in main.py; it is looked up by name."""
    functions = {
        name
        for name, value in vars(main).items()
        if isinstance(value, type) and value.__module__ == "chat_functions.main"
    }
    assert functions - {"RawBytes", "_BatchFunction"} == set(instance.HANDLERS)
    for name, module in instance.HANDLERS.items():
        assert hasattr(importlib.import_module(module), name)


@pytest.fixture
def client(stack: Stack) -> Iterator[pulsar.Client]:
    """A client of the stack's Pulsar."""
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    yield client
    client.close()


@pytest.mark.stack
def test_what_was_handed_over_and_never_seen_comes_again(client: pulsar.Client) -> None:
    """As after the broker's death: it believes the message to be here. While much is here it is not asked."""
    topic = f"persistent://public/default/nudged-{uuid.uuid4()}"
    consumer = client.subscribe(topic, "function", consumer_type=pulsar.ConsumerType.KeyShared)
    client.create_producer(topic).send(b"hello", partition_key="room")
    handed = consumer.receive(10_000).message_id().serialize()
    here = [FEW + 1]
    consumers: dict[str, pulsar.Consumer] = {}
    Nudge(consumers, 1, lambda: here[0]).start()
    consumers[topic] = consumer
    with pytest.raises(pulsar.PulsarException):
        consumer.receive(1500)
    here[0] = 0
    assert consumer.receive(10_000).message_id().serialize() == handed

"""Producers of functions: what the client library does not connect again is made anew."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pulsar
import pytest

from chat_functions import producers
from chat_functions.producers import Outgoing, TopicProducer
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
MANY = TopicProducer.FEW + 1


@pytest.fixture
def anyio_backend() -> str:
    """The functions run on asyncio."""
    return "asyncio"


class Remembering:
    """A client, and the producers that it has made."""

    def __init__(self, client: pulsar.Client) -> None:
        self.made: list[pulsar.Producer] = []
        self._client = client

    def create_producer(self, *args: Any, **options: Any) -> pulsar.Producer:
        """As of a client."""
        self.made.append(self._client.create_producer(*args, **options))
        return self.made[-1]


@pytest.mark.parametrize("count", [1, MANY])
async def test_a_producer_without_a_connection_is_made_anew(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Not at once: as a rule the library connects it again by itself. All that is sent meanwhile has a receipt."""
    monkeypatch.setattr(producers, "STUCK", 0.3)
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    try:
        remembering = Remembering(client)
        topic = f"persistent://chat/core/test-{uuid.uuid4()}"
        producer = TopicProducer(remembering, topic)  # type: ignore[arg-type]
        messages = [Outgoing("room", b"hello")] * count
        assert all(await producer.publish(messages))
        remembering.made[0].close()  # as good as lost: it says that it has no connection, and gets none
        assert not any(await producer.publish(messages))
        await asyncio.sleep(0.4)
        assert all(await producer.publish(messages))
        assert all(await producer.publish(messages))
        assert len(remembering.made) == 2
        reader = client.create_reader(topic, pulsar.MessageId.earliest)
        assert [reader.read_next(10_000).data() for _ in range(3 * count)] == [b"hello"] * (3 * count)
        assert not reader.has_message_available()
        await producer.close()
    finally:
        client.close()

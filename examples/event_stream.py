"""Events of all rooms, as anybody may read them: the Pulsar topic `events` is a public contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pulsar

EVENTS = "persistent://chat/core/events"
Event = dict[str, Any]


def follow(service_url: str, subscription: str, handle: Callable[[Event], None]) -> None:
    """Call `handle` with each event, in the order of its room, for ever.

    An event is acked when `handle` has returned. If it raises, the program ends, and gets the event again when it is
    started again. The subscription begins with what comes after it was first made.
    """
    client = pulsar.Client(service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    consumer = client.subscribe(EVENTS, subscription, consumer_type=pulsar.ConsumerType.KeyShared)
    print("ready", flush=True)
    try:
        while True:
            message = consumer.receive()
            handle(json.loads(message.data()))
            consumer.acknowledge(message)
    finally:
        client.close()

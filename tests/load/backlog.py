"""Commands waiting on a topic, and the traces that working them off leaves on another."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pulsar

from chattifier.topics import Admin
from pulsar_data import ids
from pulsar_data.commands import Sender, SendMessage
from tests.load import processes
from tests.load.comparison import topic_path
from tests.load.crowd import Room, now
from tests.load.errors import LoadFailed

TEXT = "The quick brown fox jumps over the lazy dog, and the dog writes about it to everybody in this room today."
LOOK = 0.1
"""Seconds between two looks at how far it is."""
WITHIN = 600.0


@dataclass(frozen=True)
class Drain:
    """How one backlog was worked off: messages a second, and the CPU seconds of the function's process for all."""

    messages: int
    rate: float
    cpu: float

    @property
    def cost(self) -> float:
        """Microseconds of CPU time of the function's process per message."""
        return self.cpu / self.messages * 1e6


def commands(rooms: Sequence[Room], count: int, gateway: str) -> list[SendMessage]:
    """Fresh messages of members, over all rooms in turn. Replies go to a gateway that nobody reads."""
    made = []
    for number in range(count):
        room = rooms[number % len(rooms)]
        person = room.members[number // len(rooms) % len(room.members)]
        sender = Sender(gateway=gateway, client=person.session, request=number)
        made.append(SendMessage(room=room.id, actor=person.user, key=ids.new_key(now()), sender=sender, text=TEXT))
    return made


def publish(client: pulsar.Client, topic: str, payloads: Sequence[tuple[str, bytes]]) -> None:
    """All of them, (key, payload), in batches of one key. Raises LoadFailed unless the broker has every one."""
    producer = client.create_producer(
        topic,
        batching_type=pulsar.BatchingType.KeyBased,
        batching_max_publish_delay_ms=10,
        block_if_queue_full=True,
        max_pending_messages=5000,
    )
    taken: list[bool] = []
    for key, payload in payloads:
        producer.send_async(payload, lambda result, _id: taken.append(result == pulsar.Result.Ok), partition_key=key)
    producer.flush()
    producer.close()
    if taken.count(True) < len(payloads):
        raise LoadFailed(f"The broker took {taken.count(True)} of {len(payloads)} messages for {topic}.")


@contextmanager
def traces(admin: Admin, topic: str) -> Iterator[str]:
    """A subscription from now on, for `read` to read when all is over: a reader beside would take part of the CPU."""
    name = f"load-{secrets.token_hex(4)}"
    path = f"{topic_path(topic)}/subscription/{name}"
    admin.request("PUT", path, _LATEST)
    try:
        yield name
    finally:
        admin.request("DELETE", f"{path}?force=true", allowed=(404,))


_LATEST = {"ledgerId": 2**63 - 1, "entryId": 2**63 - 1, "partitionIndex": -1}


def read(client: pulsar.Client, topic: str, subscription: str, count: int, ours: set[str]) -> list[int]:
    """The publish times (ms) of the messages with those keys. Raises LoadFailed if one of `count` does not come."""
    consumer = client.subscribe(topic, subscription, consumer_type=pulsar.ConsumerType.Exclusive)
    times: list[int] = []
    try:
        while len(times) < count:
            message = consumer.receive(timeout_millis=10_000)
            consumer.acknowledge(message)
            if message.partition_key() in ours:
                times.append(message.publish_timestamp())
    except pulsar.Timeout as error:
        raise LoadFailed(f"Only {len(times)} of {count} messages came out on {topic}.") from error
    finally:
        consumer.close()
    return sorted(times)


def waiting(admin: Admin, topic: str, subscription: str) -> int:
    """Entries of the backlog; one entry is a batch of messages. More than none until all is acked."""
    stats: dict[str, Any] = admin.request("GET", f"{topic_path(topic)}/partitioned-stats").json()
    return int(stats["subscriptions"][subscription]["msgBacklog"])


def until_done(left: Callable[[], int], pid: Callable[[], int | None]) -> float:
    """Wait until nothing is left. Returns the CPU seconds of that process since the last look before it began."""
    deadline = time.monotonic() + WITHIN
    full, used = left(), 0.0
    while (now_left := left()) > 0:
        process = pid()
        if now_left >= full and process is not None:
            used = processes.cpu(process)
        if time.monotonic() > deadline:
            raise LoadFailed(f"{now_left} of {full} were still waiting after {WITHIN:.0f} s.")
        time.sleep(LOOK)
    process = pid()
    if process is None:
        raise LoadFailed("The function's process has died while it worked: see `chattifier logs`.")
    return processes.cpu(process) - used

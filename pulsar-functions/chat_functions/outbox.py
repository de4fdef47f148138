"""Deliveries to gateways: grouped per gateway, one Pulsar message for many items."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

import pulsar
from pydantic_core import to_json

from chat_functions.numbering import LIVE_GATEWAYS
from chat_functions.producers import Outgoing, Receipts, TopicProducer
from chat_functions.redis_link import RedisLink, RedisUnavailable, call
from chat_functions.settings import Settings
from pulsar_data import redis_keys, topics
from pulsar_data.traces import ITEM

Item = tuple[bytes, str]
"""The JSON of a delivery item, and the `traceparent` of what it tells of, or ""."""
Items = dict[str, list[Item]]
"""Per gateway id, in order."""
MESSAGE_BYTES = 1024 * 1024
"""A delivery is split beyond this; a Pulsar message holds 5 MiB at most."""
GATEWAYS = 256
"""Producers kept; beyond, the one that was used longest ago is closed."""


class Outbox:
    """One producer per gateway. What cannot be delivered is dropped: the gateway sees the hole, its clients resume."""

    def __init__(self, client: pulsar.Client, tasks: asyncio.TaskGroup) -> None:
        self._client = client
        self._tasks = tasks
        self._producers: dict[str, TopicProducer] = {}

    async def send(self, items: Items) -> list[Receipts]:
        """Items per gateway id, in order. Returns when handed over; the receipts tell when they are durable."""
        return [await self._producer(gateway).send(_pack(gateway, batch)) for gateway, batch in items.items()]

    async def prepare(self, gateways: Sequence[str]) -> None:
        """Make the producers of these gateways now. What cannot be made now is made on first use."""
        await asyncio.gather(*(self._producer(gateway).prepare() for gateway in gateways[:GATEWAYS]))

    def _producer(self, gateway: str) -> TopicProducer:
        producer = self._producers.pop(gateway, None)
        if producer is None:
            producer = TopicProducer(self._client, topics.gateway(gateway), send_timeout=5.0)
            if len(self._producers) >= GATEWAYS:
                oldest = next(iter(self._producers))
                self._tasks.create_task(self._producers.pop(oldest).close())
        self._producers[gateway] = producer
        return producer


async def prepare_deliveries(redis: RedisLink, outbox: Outbox, settings: Settings) -> None:
    """Connect to Redis, and make the producers of all live gateways. If Redis does not answer, by use."""
    with suppress(RedisUnavailable):
        (live,) = await redis.execute(
            lambda pipe, _: call(pipe, LIVE_GATEWAYS, [redis_keys.GATEWAYS], [settings.gateway_age])
        )
        await outbox.prepare(live)


def publication_json(event: bytes, client: str | None) -> bytes:
    """A Publication (pulsar_data.deliveries) of an event that is encoded already."""
    caused = b"" if client is None else b',"client":' + to_json(client)
    return b'{"type":"publication","event":' + event + caused + b"}"


def notice_json(event: bytes, client: str | None) -> bytes:
    """A RoomNotice, as publication_json."""
    caused = b"" if client is None else b',"client":' + to_json(client)
    return b'{"type":"room_notice","event":' + event + caused + b"}"


def _pack(gateway: str, items: Iterable[Item]) -> list[Outgoing]:
    messages: list[Outgoing] = []
    parts: list[bytes] = []
    traced: dict[str, str] = {}
    size = 0
    for part, traceparent in items:
        if parts and size + len(part) > MESSAGE_BYTES:
            messages.append(_join(gateway, parts, traced))
            parts, traced, size = [], {}, 0
        if traceparent:
            traced[f"{ITEM}{len(parts)}"] = traceparent
        parts.append(part)
        size += len(part)
    if parts:
        messages.append(_join(gateway, parts, traced))
    return messages


def _join(gateway: str, parts: list[bytes], traced: dict[str, str]) -> Outgoing:
    return Outgoing(gateway, b'{"items":[' + b",".join(parts) + b"]}", traced or None)

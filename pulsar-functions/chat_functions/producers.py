"""Producers with receipts: publish many, wait once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pulsar
from pulsar.schema import BytesSchema, Schema

from chat_functions import logs, metrics
from chat_functions.gathering import Gathering

_TO_PULSAR, _FAILED = metrics.CALL.labels("pulsar"), metrics.CALL_FAILURES.labels("pulsar")
CREATE_TIMEOUT = 3.0
"""Seconds a first use may wait for its producer."""
STUCK: Final = 10.0
"""Seconds without a connection after which another producer is tried, and again after as many.

Pulsar's client (C++ 4.2) loses some: a topic closed at the broker while its producer connected, as on a full disk,
leaves one that says "no connection" for ever, while the client's others are connected again within a second.
"""
_ANEW = ThreadPoolExecutor(1, "producers-anew")
"""Of its own: where the broker is away, to make one takes as long as the client's timeout."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One Pulsar message to publish."""

    key: str
    payload: bytes
    properties: dict[str, str] | None = None


Receipts = Gathering[bool]
"""Per message whether the broker has it; ends within the producer's send timeout."""


class TopicProducer:
    """A producer for one topic, made on first use. Not batched for a few messages: batching costs a millisecond.

    Two producers never have messages of one room under way at once: callers await the receipts of one publish before
    the next one, so the order within a key is kept. Key_Shared readers need batches of one key: KeyBased.
    """

    FEW = 16

    def __init__(
        self, client: pulsar.Client, topic: str, send_timeout: float = 10.0, schema: Schema | None = None
    ) -> None:
        self._client = client
        self._topic = topic
        self._send_timeout = send_timeout
        self._schema = schema or BytesSchema()
        self._single: pulsar.Producer | None = None
        self._batched: pulsar.Producer | None = None
        self._away: dict[bool, float] = {}

    async def prepare(self) -> None:
        """Make both producers now. What cannot be made now is made on first use.

        Else the second one is made in the worst moment: the first that brings many messages at once is the one in which
        another instance has died.
        """
        made = await asyncio.gather(self._producer(few=True), self._producer(few=False), return_exceptions=True)
        for one in made:
            if isinstance(one, BaseException):
                logs.warning("no_producer", topic=self._topic, error=type(one).__name__)

    async def publish(self, messages: Sequence[Outgoing]) -> list[bool]:
        """Publish in order; per message whether it is durable. Order within a key holds over the whole call."""
        with metrics.timed(_TO_PULSAR):
            receipts = await (await self.send(messages)).all()
        if not all(receipts):
            _FAILED.inc()
        return receipts

    async def send(self, messages: Sequence[Outgoing]) -> Receipts:
        """As publish, without waiting for the receipts."""
        receipts = Receipts(len(messages), unanswered=False)
        try:
            producer = await self._producer(few=len(messages) <= self.FEW)
        except (pulsar.PulsarException, TimeoutError) as error:
            logs.warning("no_producer", topic=self._topic, error=type(error).__name__)
            for index in range(len(messages)):
                receipts.answer(index, False)
            return receipts
        for index, message in enumerate(messages):
            _send(producer, message, receipts, index)
        return receipts

    async def _producer(self, *, few: bool) -> pulsar.Producer:
        made = self._single if few else self._batched
        if made is not None and not self._is_stuck(made, few=few):
            return made
        if made is None:
            anew = await self._made(batched=not few)
        else:
            anew = await self._made_anew(made, batched=not few)
        if few:
            self._single = anew
        else:
            self._batched = anew
        return anew

    def _is_stuck(self, producer: pulsar.Producer, *, few: bool) -> bool:
        """Whether it has had no connection for so long; tells so once, then not for as long again."""
        if producer.is_connected():
            self._away.pop(few, None)
            return False
        now = time.monotonic()
        if now - self._away.setdefault(few, now) <= STUCK:
            return False
        self._away[few] = now
        return True

    async def _made_anew(self, stuck: pulsar.Producer, *, batched: bool) -> pulsar.Producer:
        """Another one in its place; itself, where none can be made. What it still held is answered: not sent."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CREATE_TIMEOUT):
                anew = await loop.run_in_executor(_ANEW, lambda: self._create(batched=batched))
        except (pulsar.PulsarException, TimeoutError):
            return stuck
        logs.warning("producer_made_anew", topic=self._topic)
        await asyncio.to_thread(_close, stuck)
        return anew

    async def _made(self, *, batched: bool) -> pulsar.Producer:
        async with asyncio.timeout(CREATE_TIMEOUT):
            return await asyncio.to_thread(self._create, batched=batched)

    def _create(self, *, batched: bool) -> pulsar.Producer:
        return self._client.create_producer(
            self._topic,
            batching_enabled=batched,
            batching_type=pulsar.BatchingType.KeyBased,
            batching_max_publish_delay_ms=1,
            block_if_queue_full=False,
            max_pending_messages=10_000,
            send_timeout_millis=int(self._send_timeout * 1000),
            schema=self._schema,
        )

    async def close(self) -> None:
        """Close what was made."""
        for producer in (self._single, self._batched):
            if producer is not None:
                await asyncio.to_thread(_close, producer)
        self._single = self._batched = None


def _send(producer: pulsar.Producer, message: Outgoing, receipts: Receipts, index: int) -> None:
    def answered(result: pulsar.Result, _: object) -> None:
        receipts.answer(index, result == pulsar.Result.Ok)

    try:
        producer.send_async(message.payload, answered, partition_key=message.key, properties=message.properties)
    except pulsar.PulsarException as error:
        logs.warning("not_sent", topic=producer.topic(), error=type(error).__name__)
        receipts.answer(index, False)


def _close(producer: pulsar.Producer) -> None:
    try:
        producer.close()
    except pulsar.PulsarException as error:
        logs.info("producer_close_failed", error=type(error).__name__)

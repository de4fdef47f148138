"""Pulsar: commands, queries and signals out; this gateway's deliveries, everybody's revocations and signals in.

The client library reconnects by itself, for as long as it takes. Its callbacks come in its own threads; nothing but
`call_soon_threadsafe` is done there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import pulsar
import structlog

from pulsar_data import topics
from pulsar_data.commands import Command
from pulsar_data.errors import ErrorCode
from pulsar_data.queries import Query
from pulsar_data.signals import Signal, Typing
from pulsar_data.traces import NOT_TRACED, Span
from socket_gateway.inbox import Inbox, Steps
from socket_gateway.settings import Settings

log = structlog.get_logger()

SUBSCRIPTION: Final = "gateway"
PENDING: Final = 10_000
"""Messages on their way to the broker, per producer; one more is refused at once (error 100, temporary)."""
RETRY: Final = 1.0
"""Seconds between attempts to reach Pulsar at start."""
SIGNAL_TIMEOUT: Final = 1.0
"""Seconds after which a signal is worth nothing."""
STUCK: Final = 10.0
"""Seconds that a producer may be without a connection while deliveries come: then the library has lost it for good."""
OnData = Callable[[bytes], None]
OnDelivery = Callable[[bytes, Callable[[], Mapping[str, str]]], Steps]
"""With what gives the message's properties, to who asks; a delivery is handled item by item."""


@dataclass(frozen=True, slots=True)
class _Links:
    client: pulsar.Client
    commands: pulsar.Producer
    queries: pulsar.Producer
    deliveries: pulsar.Consumer
    sessions: pulsar.Reader
    signals: pulsar.Producer
    heard: pulsar.Consumer
    inboxes: tuple[Inbox, ...]


class Broker:
    """`on_delivery`, `on_session` and `on_signal` get payloads in the loop's thread, in the order of their topics.

    A delivery's steps are done one after the other, and all of them before the next delivery's.
    """

    def __init__(
        self, settings: Settings, gateway_id: str, on_delivery: OnDelivery, on_session: OnData, on_signal: OnData
    ) -> None:
        self._settings = settings
        self._id = gateway_id
        self._on_delivery = on_delivery
        self._on_session = on_session
        self._on_signal = on_signal
        self._links: _Links | None = None
        self._away: dict[str, float] = {}

    @property
    def healthy(self) -> bool:
        """Whether everything is connected just now."""
        links = self._links
        return links is not None and all(
            part.is_connected()
            for part in (links.commands, links.queries, links.deliveries, links.sessions, links.signals, links.heard)
        )

    @property
    def hears(self) -> bool:
        """Whether deliveries come just now."""
        return self._links is not None and self._links.deliveries.is_connected()

    @property
    def waiting(self) -> int:
        """Messages that have come and that nobody has looked at yet."""
        return 0 if self._links is None else sum(map(len, self._links.inboxes))

    async def start(self) -> None:
        """Connect and subscribe; tries until it works. Afterwards no delivery can be missed."""
        loop = asyncio.get_running_loop()
        while self._links is None:
            try:
                self._links = await asyncio.to_thread(self._connect, loop)
            except pulsar.PulsarException as error:
                log.warning("pulsar_unreachable", url=self._settings.pulsar_url, error=str(error))
                await asyncio.sleep(RETRY)

    async def mend(self) -> None:
        """To be called every second or so: make anew a producer that the library does not connect again.

        It loses some (C++ 4.2) whose topic is closed at the broker just when they connect, as on a full disk.
        """
        if not self.hears:
            self._away.clear()
            return
        limits = self._settings.limits
        await self._mend("commands", topics.COMMANDS, limits.command)
        await self._mend("queries", topics.QUERIES, limits.query)
        await self._mend("signals", topics.SIGNALS, SIGNAL_TIMEOUT)

    async def _mend(self, name: Literal["commands", "queries", "signals"], topic: str, timeout: float) -> None:
        if self._links is None:
            return
        client, lost = self._links.client, getattr(self._links, name)
        now = time.monotonic()
        if lost.is_connected():
            self._away.pop(name, None)
            return
        if now - self._away.setdefault(name, now) <= STUCK:
            return
        self._away[name] = now
        try:
            anew = await asyncio.to_thread(_producer, client, topic, timeout)
        except pulsar.PulsarException as error:
            log.warning("producer_not_made", topic=topic, error=str(error))
            return
        log.warning("producer_made_anew", topic=topic)
        if self._links is not None:
            changed: dict[str, Any] = {name: anew}
            self._links = replace(self._links, **changed)
        await asyncio.to_thread(_close, lost)

    def _connect(self, loop: asyncio.AbstractEventLoop) -> _Links:
        client = self._client()
        try:
            return self._attach(client, loop)
        except pulsar.PulsarException:
            client.close()
            raise

    def _client(self) -> pulsar.Client:
        token, authorities = self._settings.pulsar_token, self._settings.pulsar_ca_file
        return pulsar.Client(
            self._settings.pulsar_url,
            authentication=pulsar.AuthenticationToken(token) if token else None,
            tls_trust_certs_file_path=str(authorities) if authorities else None,
            tls_validate_hostname=True,
            operation_timeout_seconds=10,
            connection_timeout_ms=5000,
            stats_interval_in_seconds=0,
            logger=logging.getLogger("pulsar"),
        )

    def _attach(self, client: pulsar.Client, loop: asyncio.AbstractEventLoop) -> _Links:
        limits = self._settings.limits
        sessions = Inbox(loop, _at_once(self._on_session), lambda message: None)
        deliveries = Inbox(
            loop, lambda message: self._on_delivery(message.data(), message.properties), self._acknowledge
        )
        signals = Inbox(loop, _at_once(self._on_signal), lambda message: None)
        return _Links(
            client=client,
            commands=_producer(client, topics.COMMANDS, limits.command),
            queries=_producer(client, topics.QUERIES, limits.query),
            sessions=from_here(client, topics.SESSIONS, self._id, sessions.listener),
            deliveries=client.subscribe(
                topics.gateway(self._id),
                SUBSCRIPTION,
                consumer_type=pulsar.ConsumerType.Exclusive,
                initial_position=pulsar.InitialPosition.Earliest,
                message_listener=deliveries.listener,
            ),
            signals=_producer(client, topics.SIGNALS, SIGNAL_TIMEOUT),
            heard=client.subscribe(
                topics.SIGNALS,
                self._id,  # a subscription of its own: every gateway hears every signal
                consumer_type=pulsar.ConsumerType.Exclusive,
                message_listener=signals.listener,
            ),
            inboxes=(sessions, deliveries, signals),
        )

    def _acknowledge(self, last: pulsar.Message) -> None:
        # Only notes it: the library sends acknowledgements in groups of its own.
        if self._links is not None:
            self._links.deliveries.acknowledge_cumulative(last)

    def config(self) -> pulsar.Reader:
        """A reader of the settings, from the first on. Blocks; raises pulsar.PulsarException."""
        if self._links is None:
            raise pulsar.AlreadyClosed("not connected")
        return self._links.client.create_reader(topics.CONFIG, pulsar.MessageId.earliest, is_read_compacted=True)

    def command(self, command: Command, failed: Callable[[], None], span: Span) -> None:
        """Publish at once, in the order of the calls. `failed` runs in the loop if the broker did not take it."""
        sending = span.sending(topics.COMMANDS)
        self._send(lambda links: links.commands, command.to_json(), command.room, failed, sending)

    def query(self, query: Query, failed: Callable[[], None], span: Span) -> None:
        """As `command`."""
        sending = span.sending(topics.QUERIES)
        self._send(lambda links: links.queries, query.to_json(), query.user, failed, sending)

    def signal(self, signal: Signal) -> None:
        """Publish at once, as far as the broker takes it: nobody learns if it does not."""
        key = signal.room if isinstance(signal, Typing) else signal.user
        self._send(lambda links: links.signals, signal.to_json(), key, _nobody)

    def _send(
        self,
        choose: Callable[[_Links], pulsar.Producer],
        payload: bytes,
        key: str,
        failed: Callable[[], None],
        sending: Span = NOT_TRACED,
    ) -> None:
        loop = asyncio.get_running_loop()
        if self._links is None:
            sending.end(ErrorCode.INTERNAL.message)
            loop.call_soon(failed)
            return

        def receipt(result: pulsar.Result, _message_id: object) -> None:
            if result == pulsar.Result.Ok:
                sending.end()
            else:
                sending.end(ErrorCode.INTERNAL.message)
                loop.call_soon_threadsafe(failed)

        choose(self._links).send_async(payload, receipt, sending.properties, partition_key=key)

    async def close(self) -> None:
        """Flush, give the topic back, leave. Without Pulsar it waits as long as the library's own timeouts."""
        links, self._links = self._links, None
        if links is not None:
            for inbox in links.inboxes:
                inbox.close()
            await asyncio.to_thread(_detach, links)


def _at_once(handle: OnData) -> Callable[[pulsar.Message], Steps]:
    """All of it is one step."""

    def steps(message: pulsar.Message) -> Steps:
        handle(message.data())
        yield None

    return steps


def from_here(client: pulsar.Client, topic: str, name: str, listener: Callable[..., None]) -> pulsar.Reader:
    """A reader of all that comes from now on, also if the broker is away before anything has come.

    One that starts at `latest` starts there again when it reconnects, and never sees what came meanwhile. Where a topic
    ends only a subscription can ask: one of this `name`, for a moment.
    """
    asks = client.subscribe(topic, name, initial_position=pulsar.InitialPosition.Latest)
    try:
        last = asks.get_last_message_id()
    finally:
        asks.unsubscribe()
        asks.close()
    return client.create_reader(topic, last, reader_listener=listener)


def _nobody() -> None:
    """A signal was lost."""


def _producer(client: pulsar.Client, topic: str, timeout: float) -> pulsar.Producer:
    return client.create_producer(
        topic,
        send_timeout_millis=round(timeout * 1000),
        block_if_queue_full=False,
        max_pending_messages=PENDING,
        batching_enabled=True,
        batching_type=pulsar.BatchingType.KeyBased,  # Key_Shared consumers take whole batches: one key in each
        batching_max_publish_delay_ms=1,
    )


def _close(producer: pulsar.Producer) -> None:
    try:
        producer.close()
    except pulsar.PulsarException as error:
        log.info("producer_close_failed", error=str(error))


def _detach(links: _Links) -> None:
    steps = (links.commands.flush, links.queries.flush, links.deliveries.unsubscribe, links.client.close)
    for step in steps:
        try:
            step()
        except pulsar.PulsarException as error:
            log.warning("pulsar_not_left_cleanly", step=step.__name__, error=str(error))

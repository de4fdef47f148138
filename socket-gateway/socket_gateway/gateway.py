"""The parts of one gateway put together, and what happens to a delivery."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import structlog
from pydantic import ValidationError

from pulsar_data.accounts import ACCOUNT_EVENT
from pulsar_data.clock import Clock
from pulsar_data.commands import Command
from pulsar_data.config import Live
from pulsar_data.deliveries import Delivery, Item, Publication, RoomEntered, RoomLeft, RoomNotice, UserNews
from pulsar_data.errors import Disconnect, ErrorCode
from pulsar_data.news import ProfileChanged
from pulsar_data.queries import Query
from pulsar_data.signals import SIGNAL, PresenceChanged, Signal, Typing
from pulsar_data.tokens import SessionsRevoked
from pulsar_data.traces import NOT_TRACED, Span
from socket_gateway import protocol, pushes
from socket_gateway.backlog import Backlog
from socket_gateway.broker import Broker
from socket_gateway.config_reader import ConfigReader
from socket_gateway.connection import Connection
from socket_gateway.debts import Debts
from socket_gateway.door import Door
from socket_gateway.interest import Interest
from socket_gateway.issuers import Issuer
from socket_gateway.keys import KeyFile
from socket_gateway.metrics import Here, Metrics
from socket_gateway.pace import Paces
from socket_gateway.presence import Presence
from socket_gateway.protocol import JSON, Form
from socket_gateway.registry import Registry
from socket_gateway.requests import Answer, OnAnswer, Requests, trouble
from socket_gateway.server_api import ServerApi
from socket_gateway.settings import Settings
from socket_gateway.tokens import ServiceTokens, Tokens
from socket_gateway.traces import Traces
from socket_gateway.wire import Writer

log = structlog.get_logger()


def _service_tokens(settings: Settings) -> ServiceTokens | None:
    if settings.service_jwks_file is None:
        return None
    return ServiceTokens(KeyFile(settings.service_jwks_file), issuer=settings.issuer, audience=settings.audience)


def _traces(settings: Settings, gateway: str) -> Traces:
    if not settings.traces:
        return Traces()
    from socket_gateway.recording import RecordedTraces  # OpenTelemetry is for those who want it

    return RecordedTraces(settings.traces, gateway)


DEAF: Final = 10.0
"""Seconds without Redis after which others take a gateway for dead, and send it no publications any more."""
ALONE: Final = 5.0
"""Seconds for which others must have reached Redis, and we not, before our sockets are sent to them."""
AWAY: Final = 300.0
"""Seconds without deliveries after which who entered or left a room may never be told; see cli/chattifier/topics.py."""
LOOK: Final = 1.0


class Gateway:
    """One boot of a gateway. Created and used in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.get_running_loop()
        self._live = Live(settings.limits)
        self.limits = settings.limits
        """Those in force: replaced as a whole when they change."""
        self.id = f"gw-{secrets.token_hex(8)}"
        self.metrics = Metrics(self._here)
        self.traces = _traces(settings, self.id)
        self.requests = Requests(self._loop, self.metrics.answers)
        self.backlog = Backlog(self.limits.backlog)
        self.interest = Interest(self.backlog, self._rejoin)
        self.hub = self.interest.hub
        self._issuers = [Issuer(setting) for setting in settings.external_issuers]
        self.tokens = Tokens(
            KeyFile(settings.jwks_file), issuer=settings.issuer, audience=settings.audience, external=self._issuers
        )
        self._broker = Broker(settings, self.id, self._deliver, self._account, self._signalled)
        self._config = ConfigReader(self._broker.config, self._live, self._limit)
        self.presence = Presence(self.id, self.hub, self.later, self.signal)
        self.clock = Clock()
        self._registry = Registry(settings.redis_url, self.id, self.interest, self.presence, self.limits, self.clock)
        self.server_api = ServerApi(self, _service_tokens(settings))
        self.door = Door(settings)
        self.paces = Paces(self._loop)
        self.debts = Debts(self.limits.owed, self.limits.kernel, self.later)
        self._connections: set[Connection] = set()
        self._redis_losses = 0
        self._alone_since: float | None = None
        self.draining = False

    async def run(self) -> None:
        """Subscribe first, register then: from the first heartbeat on others rely on our topic."""
        log.info("gateway_starting", gateway=self.id)
        await self._broker.start()
        log.info("gateway_subscribed", gateway=self.id)
        await self._config.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._registry.run())
            tasks.create_task(self._watch_deliveries())
            for issuer in self._issuers:
                tasks.create_task(issuer.keys.run())

    async def _watch_deliveries(self) -> None:
        """Notice if deliveries do not come for so long that some may have expired: they are kept for twice as long."""
        away: float | None = None
        while True:
            await asyncio.sleep(LOOK)
            await self._broker.mend()
            if not self._broker.hears:
                away = away or time.monotonic()
            elif away is not None:
                if time.monotonic() - away > AWAY:
                    log.warning("deliveries_missed", seconds=round(time.monotonic() - away))
                    self._come_again()
                away = None

    def _limit(self) -> None:
        """The settings have changed. Runs in the thread that reads them."""
        self.limits = self._live.now

    @property
    def health(self) -> dict[str, bool]:
        """What readiness is made of."""
        return {"pulsar": self._broker.healthy, "redis": self._registry.healthy, "accepting": not self.draining}

    @property
    def ready(self) -> bool:
        """Whether clients may come."""
        return all(self.health.values())

    def time(self) -> float:
        """Seconds since the epoch, by this machine: what tokens are judged by."""
        return time.time()

    def now(self) -> int:
        """Milliseconds since the epoch, by the clock that all share: what others are told."""
        return self.clock.now()

    def deadline(self, seconds: float | None = None) -> int:
        """Until when (ms) somebody waits for a query that is asked now: that long, or as long as for any read."""
        return self.now() + round((self.limits.query if seconds is None else seconds) * 1000)

    def later(self, seconds: float, call: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call once, later."""
        return self._loop.call_later(max(0.0, seconds), call, *args)

    def connection(self, writer: Writer, address: str, form: Form = JSON) -> Connection:
        """A socket from that address has been accepted. It may be closed already: we leave, or it is one too many."""
        connection = Connection(self, writer, str(uuid.uuid4()), form)
        self._connections.add(connection)
        self.door.enter(connection, address)
        if self.draining:
            connection.close(Disconnect.SHUTDOWN)
        return connection

    def gone(self, connection: Connection) -> None:
        """A socket's task has ended."""
        self._connections.discard(connection)
        self.door.leave(connection)

    def closed(self, connection: Connection, reason: Disconnect) -> None:
        """We have closed a connection."""
        self.door.known(connection)
        self.metrics.closed.labels(str(reason.code)).inc()
        log.info("closed", client=connection.client, user=connection.user or None, code=reason.code)

    def expect(self, message: Command | Query, asked: int, answer: OnAnswer) -> None:
        """Wait for the answer to a message that is about to be published."""
        if isinstance(message, Query):
            self.requests.expect(asked, "query", answer, self.limits.query, ErrorCode.INTERNAL)
        else:
            self.requests.expect(asked, "command", answer, self.limits.command, ErrorCode.INTERNAL)

    def publish(self, message: Command | Query, asked: int, span: Span = NOT_TRACED) -> None:
        """Publish at once, in the course of `span`; if the broker does not take it, it fails with 100, temporary."""

        def failed() -> None:
            self.requests.fail(asked, ErrorCode.INTERNAL)

        if isinstance(message, Query):
            self._broker.query(message, failed, span)
        else:
            self._broker.command(message, failed, span)

    def signal(self, signal: Signal) -> None:
        """Tell all gateways, this one too, as far as the broker takes it."""
        self._broker.signal(signal)

    def _signalled(self, payload: bytes) -> None:
        try:
            signal = SIGNAL.validate_json(payload)
        except ValidationError as error:
            log.error("signal_unreadable", errors=error.error_count())
            return
        match signal:
            case Typing():
                if signal.room in self.hub.rooms():
                    self.hub.hint(signal.room, pushes.typing(signal), but=signal.user)
            case PresenceChanged():
                for room in self.hub.shows_presence(signal.rooms):
                    self.hub.hint(room, pushes.presence(protocol.room_channel(room), signal))

    def _deliver(self, payload: bytes, properties: Callable[[], Mapping[str, str]]) -> Iterator[None]:
        """Item by item: each may be for ten thousand members."""
        try:
            delivery = Delivery.from_json(payload)
        except ValidationError as error:
            # Its rooms now have a hole, which closes their sockets; they recover from the log.
            log.error("delivery_unreadable", errors=error.error_count())
            return
        traced = self.traces.items(properties)
        for number, item in enumerate(delivery.items):
            if number in traced and isinstance(item, (Publication, RoomNotice)):
                with self.traces.push(traced[number], item, self.hub):
                    self._item(item)
            else:
                self._item(item)
            yield

    def _item(self, item: Item) -> None:
        try:
            match item:
                case Publication():
                    self.hub.publish(item.event.room, pushes.kept(item.event, item.client))
                case RoomEntered():
                    self._enter(item)
                case RoomLeft():
                    self.hub.leave_room(item)
                case RoomNotice():
                    self.hub.notify(item.event.room, pushes.notice(item))
                case UserNews():
                    self.hub.tell(item.user, pushes.news(item))
                case _:
                    if self.requests.resolve(item) == "command":
                        self._hears_of_redis(item)
        except Exception:  # the edge of the process: one bad item must not stop the others
            log.exception("delivery_failed", item=item.type)

    def _enter(self, item: RoomEntered) -> None:
        self.hub.enter(item)
        if item.room in self.hub.rooms():
            self.interest.want(item.room)

    def _rejoin(self) -> None:
        """Redis has lost its data. Rooms go on, but that somebody entered one may have been lost with it."""
        self._redis_losses += 1
        self._come_again()

    def _hears_of_redis(self, answer: Answer) -> None:
        """A change was made, which takes Redis. If we do not reach it, publications go past us: let all go elsewhere.

        Not at the first answer: Redis may just be back, and our next beat as well.
        """
        if self._registry.unseen <= DEAF:
            self._alone_since = None
            return
        if trouble(answer):
            return
        now = time.monotonic()
        if self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since > ALONE:
            log.warning("cut_off_from_redis", seconds=round(self._registry.unseen))
            self._alone_since = now + 60 * ALONE  # once
            self._come_again()

    def _come_again(self) -> None:
        """Everybody here opens a session again, in no hurry: all at once would be a storm just when all recovers."""
        doomed = list(self._connections)
        pause = self.limits.rejoin / max(1, len(doomed))
        for count, connection in enumerate(doomed, start=1):
            self.later(count * pause, connection.close, Disconnect.INSUFFICIENT_STATE)

    def _account(self, payload: bytes) -> None:
        try:
            event = ACCOUNT_EVENT.validate_json(payload)
        except ValidationError as error:
            log.error("account_event_unreadable", errors=error.error_count())
            return
        match event:
            case SessionsRevoked():
                self.server_api.users.forget(event.user)
                log.info("sessions_revoked", user=event.user, closed=self.hub.revoke(event))
            case ProfileChanged():
                self.hub.tell(event.user, pushes.news(UserNews(user=event.user, news=event)))

    def _here(self) -> Here:
        return Here(
            connections=len(self._connections),
            users=self.hub.users,
            rooms=len(self.hub.rooms()),
            openings=self.backlog.openings,
            waiting=len(self.requests),
            inbox=self._broker.waiting,
            unsent=[connection.unsent for connection in self._connections],
            holes=self.hub.holes,
            sent_back=self.hub.sent_back,
            redis_losses=self._redis_losses,
            health=self.health,
            delays=self.hub.delays,
        )

    async def drain(self) -> None:
        """Close every socket with 3001, spread over the drain time."""
        self.draining = True
        doomed = list(self._connections)
        log.info("draining", connections=len(doomed))
        pause = self.limits.drain / max(1, len(doomed))
        start = self._loop.time()
        for count, connection in enumerate(doomed):
            # Against the clock, so that oversleeping does not add up over thousands of sockets.
            if (ahead := start + count * pause - self._loop.time()) > 0.01:
                await asyncio.sleep(ahead)
            connection.close(Disconnect.SHUTDOWN)

    async def close(self) -> None:
        """Leave Redis and Pulsar."""
        self._config.close()
        await self._registry.close()
        await self._broker.close()
        log.info("gateway_stopped", gateway=self.id)

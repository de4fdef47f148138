"""What a gateway measures, for Prometheus. No label has a value that a client can choose: see docs/metrics.md.

What happens for each push is counted in plain numbers, and states are looked at: both only when somebody scrapes.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from pulsar_data import rpc
from pulsar_data.errors import RpcError
from socket_gateway import protocol
from socket_gateway.requests import Kind, Took

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of all durations here."""
OK: Final = "ok"
CLIENT: Final = "client"
"""Instead of a close code: the client went."""
_METHODS: Final = frozenset(rpc.METHODS) | {"typing"}
_REQUESTS: Final[dict[type, str]] = {
    protocol.SendRequest: "send",
    protocol.SubscribeRequest: "subscribe",
    protocol.UnsubscribeRequest: "unsubscribe",
    protocol.HistoryRequest: "history",
    protocol.PresenceRequest: "presence",
    protocol.PresenceStatsRequest: "presence_stats",
    protocol.RefreshRequest: "refresh",
    protocol.PingRequest: "ping",
}


def outcome(error: RpcError | None) -> str:
    """As a label: `ok`, or the error's stable word."""
    return OK if error is None else error.message


class Delays:
    """How old events are when they are written to sockets: one histogram, which takes a room's members at once."""

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)
        self._sum = 0.0

    def note(self, happened: int, members: int) -> None:
        """An event of that time (ms, by the clock of whoever numbered it) has just been written to so many sockets."""
        delay = max(0.0, time.time() - happened / 1000)
        self._counts[bisect_left(SECONDS, delay)] += members
        self._sum += delay * members

    def family(self) -> Metric:
        """For the scrape."""
        bounds = [*map(str, SECONDS), "+Inf"]
        return HistogramMetricFamily(
            "chattifier_gateway_push_delay_seconds",
            "From the time of a room event to the write to a member's socket; its count is the number of such writes.",
            buckets=list(zip(bounds, accumulate(self._counts), strict=True)),
            sum_value=self._sum,
        )


@dataclass(frozen=True, slots=True)
class Here:
    """What there is just now, and what has been since the start: see the texts of the metrics."""

    connections: int = 0
    users: int = 0
    rooms: int = 0
    openings: int = 0
    waiting: int = 0
    inbox: int = 0
    holes: int = 0
    sent_back: int = 0
    redis_losses: int = 0
    unsent: list[int] = field(default_factory=list)
    health: dict[str, bool] = field(default_factory=dict)
    delays: Delays = field(default_factory=Delays)


class _States(Collector):
    def __init__(self, look: Callable[[], Here]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        here = self._look()
        yield _gauge("connections", "Sockets that are open.", here.connections)
        yield _gauge("users", "Users with a socket here.", here.users)
        yield _gauge("rooms", "Rooms with members here.", here.rooms)
        yield _gauge("openings", "Connects and subscribes on their way.", here.openings)
        yield _gauge("requests_waiting", "Commands and queries without an answer yet.", here.waiting)
        yield _gauge("inbox_messages", "Messages that Pulsar has given us and nobody has looked at.", here.inbox)
        yield _gauge("unsent_bytes", "Bytes that clients have not taken yet, all together.", sum(here.unsent))
        yield _gauge("unsent_bytes_max", "Bytes that the slowest client has not taken.", max(here.unsent, default=0))
        healthy = GaugeMetricFamily(
            "chattifier_gateway_healthy",
            "1 where it is: pulsar, redis, and whether new sockets are accepted; readiness is all of them.",
            labels=["part"],
        )
        for part, fine in here.health.items():
            healthy.add_metric([part], float(fine))
        yield healthy
        yield _counted("holes", "Rooms here in which a publication was missing; it is read from Redis.", here.holes)
        yield _counted("rooms_sent_back", "Rooms here whose members had to come back (3010).", here.sent_back)
        yield _counted("redis_losses", "Times that Redis had lost its data.", here.redis_losses)
        yield here.delays.family()


C = TypeVar("C", bound=Collector)


class Metrics:
    """The metrics of one gateway; `look` is called at each scrape, in the loop's thread."""

    def __init__(self, look: Callable[[], Here]) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self.collectors: list[Collector] = []
        """All but those of the process."""
        self._kept(_States(look))
        ProcessCollector(registry=self._registry)
        self.connects = self._counter("connects", "Connect commands: ok, or the word of the error or close.", "outcome")
        self.closed = self._counter("connections_closed", "Sockets ended, by close code; `client`: not by us.", "code")
        self.commands = self._counter(
            "commands", "RPC calls on sockets that were answered: ok, or the error's word.", "method", "outcome"
        )
        requests = self._counter("requests", "Other requests on sockets, as they came.", "request")
        self._requests = {request: requests.labels(name) for request, name in _REQUESTS.items()}
        self.server_calls = self._counter(
            "server_calls", "Calls of the server API, by HTTP status of the answer.", "method", "status"
        )
        seconds = self._kept(
            Histogram(
                "chattifier_gateway_answer_seconds",
                "From the publish of a command (so an ack takes this long), query or opening to its answer.",
                ["kind"],
                buckets=SECONDS,
                registry=None,
            )
        )
        self.answers: dict[Kind, Took] = {"command": seconds.labels("command"), "query": seconds.labels("query")}
        self.answers["opening"] = seconds.labels("opening")
        self.hints_dropped = self._counter(
            "hints_dropped", "Typing and presence not written to clients that were behind."
        )

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return self._kept(Counter(f"chattifier_gateway_{name}", says, labels, registry=None))

    def _kept(self, collector: C) -> C:
        self.collectors.append(collector)
        self._registry.register(collector)
        return collector

    def asked(self, request: object) -> None:
        """A client asks for something; RPC calls are counted with their answers."""
        child = self._requests.get(type(request))
        if child is not None:
            child.inc()

    def answered(self, method: str, error: RpcError | None) -> None:
        """An RPC call of a client is being answered."""
        self.commands.labels(method if method in _METHODS else "unknown", outcome(error)).inc()

    def exposition(self) -> tuple[bytes, str]:
        """The text for Prometheus, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


def _counted(name: str, says: str, value: float) -> Metric:
    return CounterMetricFamily(f"chattifier_gateway_{name}", says, value)


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(f"chattifier_gateway_{name}", says, value)

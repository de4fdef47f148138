"""What the functions measure, for Prometheus: on the metrics port of each instance, beside what Pulsar measures.

Everything is counted here, whichever function it is; an instance shows what is of its own. No label has a value that a
client can choose, and nothing is counted for a single message that can be counted for a batch: see docs/metrics.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

ALL: Final[list[Collector]] = []
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of all durations here."""
SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
OK: Final = "ok"
DUPLICATE: Final = "duplicate"


M = TypeVar("M", bound=Collector)


def _shown(metric: M) -> M:
    ALL.append(metric)
    return metric


def _counter(name: str, says: str, *labels: str) -> Counter:
    return _shown(Counter(f"chattifier_function_{name}", says, labels, registry=None))


def _gauge(name: str, says: str) -> Gauge:
    return _shown(Gauge(f"chattifier_function_{name}", says, registry=None))


def _histogram(name: str, says: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
    return _shown(Histogram(f"chattifier_function_{name}", says, labels, buckets=buckets, registry=None))


BATCH_SIZE = _histogram("batch_size", "Messages that were taken at once.", buckets=SIZES)
ACKS = _counter("acks", "Messages acked: their effects are durable.")
ACK_FAILURES = _counter("ack_failures", "Acks that could not be sent; the message comes again.")
REDIS_MEMORY = _gauge("redis_memory_ratio", "The part of its maxmemory that Redis uses; 0 without a bound.")
IN_FLIGHT = _gauge("in_flight", "Messages taken and not acked yet.")
OLDEST = _gauge("oldest_unacked_seconds", "Age of the oldest message in flight, since it was published; 0 without one.")
PARKED = _gauge("parked_rooms", "Rooms that wait, with everything behind what they wait for.")
DEAD_LETTERS = _counter("dead_letters", "Messages that can never succeed, and are kept with their reason.")
STAGE = _histogram("stage_seconds", "How long a batch took to number, publish, commit or deliver.", "stage")
CALL = _histogram(
    "call_seconds", "How long many calls at once took: to redis, cassandra, or until pulsar had messages.", "to"
)
CALL_FAILURES = _counter("call_failures", "Many calls at once of which one failed, or all.", "to")
COMMANDS = _counter("commands", "Commands: ok, duplicate, or the error's word.", "command", "outcome")
REBUILD = _histogram("rebuild_seconds", "From a room that Redis had lost to its return; its count is the rebuilds.")
QUERIES = _counter("queries", "Queries: ok, expired, or the error's word.", "query", "outcome")
QUERY = _histogram("query_seconds", "How long a query took.", "query")
RECOVERIES = _counter("recoveries", "Rooms that clients came back to: recovered, from_log, unrecovered.", "outcome")
OF: Final[dict[Collector, tuple[str, ...]]] = {
    STAGE: ("chat-router",),
    COMMANDS: ("chat-router",),
    REBUILD: ("chat-router",),
    PARKED: ("chat-router", "message-store"),
    QUERIES: ("archive",),
    QUERY: ("archive",),
    RECOVERIES: ("archive",),
}
"""Which functions show it, where not all do."""


@contextmanager
def timed(what: Histogram) -> Iterator[None]:
    """Observe how long the body takes, unless it raises."""
    started = time.perf_counter()
    yield
    what.observe(time.perf_counter() - started)


class _Instance(Collector):
    """The metrics with the instance that they are of: a worker with processes shows those of all instances at once."""

    def __init__(self, look: Callable[[], None], function: str, instance: str) -> None:
        self._look = look
        self._function = function
        self._labels = {"function": function, "instance_id": instance}

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        self._look()
        own = (metric for metric in ALL if self._function in OF.get(metric, (self._function,)))
        for family in (family for metric in own for family in metric.collect()):
            shown = Metric(family.name, family.documentation, family.type)
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    shown.add_sample(sample.name, {**self._labels, **sample.labels}, sample.value)
            yield shown


def show(look: Callable[[], None], function: str, instance: str) -> None:
    """Show the metrics on this process's port from now on. `look` sets gauges; it is called in the scrape's thread."""
    prometheus_client.REGISTRY.register(_Instance(look, function, instance))

"""The metrics as Prometheus reads them. Imported by the first scrape alone: prometheus_client costs a start 15 ms."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from user_auth import metrics
from user_auth.http import Answer

_BOUNDS = [*map(str, metrics.SECONDS), "+Inf"]


class Exposition(Collector):
    """All that user-auth measures. `started`: seconds that the start took, where that is known."""

    def __init__(self, started: float | None) -> None:
        self._started = started

    def collect(self) -> Iterator[Metric]:
        """For a scrape."""
        for counts in (metrics.REQUESTS, metrics.LIMITED):
            counter = CounterMetricFamily(counts.name, counts.says, labels=counts.labels)
            for labels, count in counts.now().items():
                counter.add_metric(labels, count)
            yield counter
        for durations in (metrics.REQUEST, metrics.HASH):
            histogram = HistogramMetricFamily(durations.name, durations.says, labels=durations.labels)
            for labels, (places, total) in durations.now().items():
                histogram.add_metric(labels, list(zip(_BOUNDS, accumulate(places), strict=True)), total)
            yield histogram
        yield GaugeMetricFamily(metrics.HASHING.name, metrics.HASHING.says, metrics.HASHING.count)
        says = "How long the cold start took: from the process's begin until everything was imported."
        start = GaugeMetricFamily("chattifier_auth_start_seconds", says, labels=())
        if self._started is not None:
            start.add_metric((), self._started)
        yield start


@cache
def _registry(started: float | None) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Exposition(started))
    ProcessCollector(registry=registry)
    return registry


def answer(started: float | None) -> Answer:
    """To whoever scrapes."""
    return Answer(200, generate_latest(_registry(started)), {"Content-Type": CONTENT_TYPE_LATEST})

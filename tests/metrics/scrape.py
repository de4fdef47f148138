"""What Prometheus would see of a running stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.running_stack import Stack

OURS = "chattifier_"
_SAMPLE = re.compile(r"^(chattifier_|process_|pulsar_subscription_)")
"""Of the many thousands that Pulsar shows."""


@dataclass(frozen=True)
class Sample:
    """One value, and of which part."""

    part: str
    name: str
    labels: dict[str, str]
    value: float


def places(stack: Stack) -> dict[str, str]:
    """The address of each part's metrics. Pulsar's worker shows those of the functions, too."""
    gateways = {f"gateway-{number}": http(url) for number, url in enumerate(stack.gateways, 1)}
    return {**gateways, "functions": f"{stack.pulsar.admin_url}/metrics/", "auth": f"{stack.auth}/metrics"}


def http(gateway: str) -> str:
    """Where the gateway of that socket address shows its metrics."""
    return gateway.replace("ws://", "http://").removesuffix("/connection/websocket") + "/metrics"


def scrape(stack: Stack) -> list[Sample]:
    """All samples of all parts now."""
    return [sample for part, url in places(stack).items() for sample in _of(part, url)]


def _of(part: str, url: str) -> Iterator[Sample]:
    answer = httpx.get(url, timeout=30, trust_env=False).raise_for_status()
    lines = [line for line in answer.text.splitlines() if _SAMPLE.match(line)]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            yield Sample(part, sample.name, sample.labels, sample.value)


def total(samples: list[Sample], name: str, **labels: str) -> float:
    """The sum of all samples of a name with these labels."""
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())

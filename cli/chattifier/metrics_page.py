"""docs/metrics.md: its tables are made of the code. `python -m chattifier.metrics_page` writes them again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from chat_functions import metrics as functions
from socket_gateway import metrics as gateway
from user_auth.exposition import Exposition

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
_TABLE: Final = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Described:
    """One metric as an operator sees it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    says: str
    of: tuple[str, ...] = ()
    """Of which functions, where not of all."""


def of_gateways() -> Iterator[Described]:
    """What a gateway shows."""
    for collector in gateway.Metrics(gateway.Here).collectors:
        yield from _described(collector)


def of_functions() -> Iterator[Described]:
    """What an instance of a function shows, beside `function` and `instance_id`."""
    for collector in functions.ALL:
        yield from _described(collector, functions.OF.get(collector, ()))


def of_auth() -> Iterator[Described]:
    """What user-auth shows."""
    yield from _described(Exposition(started=0.0))


def _described(collector: Collector, of: tuple[str, ...] = ()) -> Iterator[Described]:
    for family in collector.collect():
        labels = tuple(getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ()))
        yield Described(_name(family), family.type, labels, family.documentation, of)


def _name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def current(text: str) -> str:
    """The page with tables of now."""
    tables = {"gateways": of_gateways(), "functions": of_functions(), "auth": of_auth()}
    return _TABLE.sub(lambda found: found[1] + _table(tables[found[2]]) + found[3], text)


def _table(rows: Iterable[Described]) -> str:
    lines = ["| metric | kind | labels | says |", "|---|---|---|---|"]
    for row in rows:
        says = row.says + (f" ({', '.join(row.of)})" if row.of else "")
        labels = ", ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {says} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(current(PAGE.read_text()))

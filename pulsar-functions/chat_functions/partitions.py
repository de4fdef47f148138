"""Walking over numbered partitions (`tables.BUCKET` numbers each), one first and then many at once.

Where messages or events have expired whole partitions may be empty, and reading them one by one would take long.
"""

from __future__ import annotations

from collections.abc import Iterator

from chat_functions.tables import BUCKET

WIDE = 16
"""Partitions read at once, after the first one."""


def upwards(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Spans of numbers from `first` to `last`, rising; each is to be read at once."""
    width = 1
    while first <= last:
        highest = min(last, (first // BUCKET + width) * BUCKET - 1)
        yield first, highest
        first, width = highest + 1, WIDE


def downwards(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The same from `last` down to `first`."""
    width = 1
    while first <= last:
        lowest = max(first, (last // BUCKET - width + 1) * BUCKET)
        yield lowest, last
        last, width = lowest - 1, WIDE


def buckets(first: int, last: int) -> range:
    """The partitions that hold these numbers."""
    return range(first // BUCKET, last // BUCKET + 1)

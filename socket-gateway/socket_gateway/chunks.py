"""Pieces of what is too much for one pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

Item = TypeVar("Item")
CHUNK: Final = 500
"""Scripts in one pipeline: Redis is never busy with us for more than a few milliseconds."""


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """In order, 500 each."""
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk

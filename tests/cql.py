"""The tests' own statements to Cassandra, asked again while it does not answer in time: each may be repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cassandra import OperationTimedOut, ReadTimeout, WriteTimeout

from chattifier.schema import CassandraAddress, session
from chattifier.status import CassandraPlace

WITHIN = 30.0
"""Seconds: a node gives a write two of them, and a slow disk may take longer for all that wait."""


@contextmanager
def statements(place: CassandraPlace) -> Iterator[Callable[[str], Any]]:
    """Open a session for idempotent statements. Blocks."""
    with session(CassandraAddress(((place.host, place.port),), place.keyspace)) as execute:

        def patiently(statement: str) -> Any:
            deadline = time.monotonic() + WITHIN
            while True:
                try:
                    return execute(statement)
                except (OperationTimedOut, ReadTimeout, WriteTimeout):
                    if time.monotonic() > deadline:
                        raise

        yield patiently

"""What is in Cassandra once the stack has come to rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

from chattifier.status import CassandraPlace
from tests.cql import statements
from tests.faults.judge import Row, StoredRoom

BUCKET = 5000
"""Rows of a partition, as the tables have it."""


def read(place: CassandraPlace, rooms: Sequence[str]) -> dict[str, StoredRoom]:
    """All rows of these rooms; a room that has none is left out. Blocks."""
    with statements(place) as execute:
        found = {room: _room(execute, place.keyspace, UUID(room)) for room in rooms}
    return {room: stored for room, stored in found.items() if stored.messages or stored.log}


def _room(execute: Callable[[str], Any], keyspace: str, room: UUID) -> StoredRoom:
    messages = [
        Row(row.seq, row.offset, str(row.key), str(row.sender), row.text)
        for row in _partitions(execute, f"SELECT seq, offset, key, sender, text FROM {keyspace}.messages", room)
    ]
    log = [
        (row.offset, json.loads(row.event)["key"])
        for row in _partitions(execute, f"SELECT offset, event FROM {keyspace}.room_log", room)
    ]
    return StoredRoom(sorted(messages, key=lambda row: row.seq), sorted(log))


def _partitions(execute: Callable[[str], Any], select: str, room: UUID) -> Iterator[Any]:
    """The rows of every bucket, up to the first empty one."""
    bucket = 0
    while rows := list(execute(f"{select} WHERE room_id = {room} AND bucket = {bucket}")):
        yield from rows
        bucket += 1

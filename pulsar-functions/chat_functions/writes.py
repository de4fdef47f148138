"""The rows of many events, packed into few batches and written at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from chat_functions import logs
from chat_functions.rows import Row, Rows
from chat_functions.settings import Settings
from chat_functions.tables import Tables, TablesUnavailable, batch
from pulsar_data.config import Live
from pulsar_data.events import MessageRead, RoomEvent
from pulsar_data.model import RoomId

PARTITIONS = 10
"""Partitions that one unlogged batch may touch: what Cassandra takes without a warning, and splits without harm.

One request for each partition costs driver and Cassandra three times as much: a message has rows in three.
"""
MIXED_BYTES = 4000
"""Of a batch that touches more than one partition: Cassandra warns of more than 5 KiB, and refuses 50 KiB."""
ROWS = 100
"""Rows of one batch."""


@dataclass(slots=True)
class Happened:
    """What is to be stored of one room."""

    events: list[RoomEvent] = field(default_factory=list)
    marks: list[MessageRead] = field(default_factory=list)


class Writes:
    """Turns events into rows, packs the rows into batches, and runs those at once."""

    def __init__(self, tables: Tables, live: Live[Settings]) -> None:
        self._tables = tables
        self._rows = Rows(tables, live)

    async def rows(self, happened: Mapping[RoomId, Happened]) -> set[RoomId]:
        """Write all but the heads, in any order; returns the rooms of which anything failed."""
        rooms = happened.values()
        return await self._write(row for room in rooms for row in self._rows.of_room(room.events, room.marks))

    async def heads(self, happened: Mapping[RoomId, Happened]) -> set[RoomId]:
        """Write how far rooms are stored: once all that is. Returns the rooms of which that failed."""
        return await self._write(row for room in happened.values() for row in self._rows.head(room.events))

    async def _write(self, rows: Iterable[Row]) -> set[RoomId]:
        packs = list(_pack(rows))
        answers = await self._tables.execute([batch([row.statement for row in pack]) for pack in packs])
        failed: set[RoomId] = set()
        for pack, answer in zip(packs, answers, strict=True):
            if isinstance(answer, TablesUnavailable):
                failed |= {row.room for row in pack}
        if failed:
            logs.warning("not_stored", rooms=len(failed))  # they wait
        return failed


def _pack(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows that go together, in order: as many as the limits allow, and always one."""
    pack: list[Row] = []
    partitions: set[tuple[RoomId, tuple[str, object]]] = set()
    size = 0
    for row in rows:
        together = partitions | {(row.room, row.partition)}
        full = len(pack) == ROWS or len(together) > PARTITIONS
        if pack and (full or (len(together) > 1 and size + row.size > MIXED_BYTES)):
            yield pack
            pack, together, size = [], {(row.room, row.partition)}, 0
        pack.append(row)
        partitions, size = together, size + row.size
    if pack:
        yield pack

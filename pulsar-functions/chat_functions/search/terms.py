"""The tables of the index: `message_terms`, and `terms_by_message`, which knows what to take out of it again.

A message's terms are noted before they are written, and forgotten after they are deleted: whatever is in the index can
be taken out, wherever a crash fell. Everything is written USING TIMESTAMP <offset>, so repeats change nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from cassandra.query import BoundStatement

from chat_functions.tables import BUCKET, Statement, Tables, TablesUnavailable, Unreadable, batch
from pulsar_data.model import RoomId

_NOTE = (
    "UPDATE terms_by_message USING TIMESTAMP ? AND TTL ? SET terms = terms + ?"
    " WHERE room_id = ? AND bucket = ? AND seq = ?"
)
_FORGET = "UPDATE terms_by_message USING TIMESTAMP ? SET terms = terms - ? WHERE room_id = ? AND bucket = ? AND seq = ?"
_READ_NOTED = "SELECT terms FROM terms_by_message WHERE room_id = ? AND bucket = ? AND seq = ?"
_ADD = "INSERT INTO message_terms (room_id, term, bucket, seq) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
_DELETE = "DELETE FROM message_terms USING TIMESTAMP ? WHERE room_id = ? AND term = ? AND bucket = ? AND seq = ?"
STATEMENTS = (_NOTE, _FORGET, _READ_NOTED, _ADD, _DELETE)

AT_ONCE = 256
"""Requests under way."""
ROWS = 100
"""Rows of one batch, all of one partition."""
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """The terms that a message has from the event of that offset on; `ttl` in seconds, 0 for ever."""

    room: RoomId
    seq: int
    offset: int
    terms: frozenset[str]
    ttl: int

    @property
    def place(self) -> list[object]:
        """The key of its row in `terms_by_message`."""
        return [uuid.UUID(self.room), self.seq // BUCKET, self.seq]


class Terms:
    """Writes the index. Raises TablesUnavailable: then anything may have been written, and all is to be repeated."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, changes: Sequence[Change]) -> None:
        """Messages that are new: nothing of them is to be taken out."""
        await self._run(self._noted(changes))
        await self._run(self._added(changes))

    async def replace(self, changes: Sequence[Change]) -> None:
        """Messages that had other terms before. One change a message at most."""
        reads: list[Statement] = [self._tables.bind(_READ_NOTED, change.place) for change in changes]
        noted = await self._run(reads, unreadable=[])
        had: list[frozenset[str]] = [frozenset(rows[0][0] or ()) if rows else frozenset() for rows in noted]
        gone = [(change, before - change.terms) for change, before in zip(changes, had, strict=True)]
        await self.add(changes)
        await self._run(self._deleted(gone))
        await self._run(
            self._tables.bind(_FORGET, [change.offset, set(terms), *change.place]) for change, terms in gone if terms
        )

    def _noted(self, changes: Sequence[Change]) -> Iterator[Statement]:
        for change in changes:
            if change.terms:
                values = [change.offset, change.ttl, set(change.terms), *change.place]
                yield self._tables.bind(_NOTE, values)

    def _added(self, changes: Sequence[Change]) -> Iterator[Statement]:
        return _packed(
            (
                (change.room, term, change.seq // BUCKET),
                self._tables.bind(
                    _ADD,
                    [uuid.UUID(change.room), term, change.seq // BUCKET, change.seq, change.offset, change.ttl],
                ),
            )
            for change in changes
            for term in change.terms
        )

    def _deleted(self, gone: Sequence[tuple[Change, frozenset[str]]]) -> Iterator[Statement]:
        for change, terms in gone:
            for term in terms:
                room, bucket, seq = change.place
                yield self._tables.bind(_DELETE, [change.offset, room, term, bucket, seq])

    async def _run(self, statements: Iterable[Statement], unreadable: Rows | None = None) -> list[Rows]:
        """`unreadable`: what stands for rows that Cassandra will not read, as of a message that was edited very often.

        Then what it had said before stays in the index, which only proposes.
        """
        waiting = list(statements)
        answers: list[Rows] = []
        for start in range(0, len(waiting), AT_ONCE):
            for answer in await self._tables.execute(waiting[start : start + AT_ONCE]):
                if isinstance(answer, Unreadable) and unreadable is not None:
                    answers.append(unreadable)
                elif isinstance(answer, TablesUnavailable):
                    raise answer
                else:
                    answers.append(answer)
        return answers


Row = tuple[tuple[RoomId, str, int], BoundStatement]
"""A row of `message_terms` and its partition."""


def _packed(rows: Iterable[Row]) -> Iterator[Statement]:
    """Rows of one partition go together: a word that a busy room uses often is one write."""
    by_partition = sorted(rows, key=lambda row: row[0])
    for _, of_one in groupby(by_partition, key=lambda row: row[0]):
        statements = [statement for _, statement in of_one]
        for start in range(0, len(statements), ROWS):
            yield batch(statements[start : start + ROWS])

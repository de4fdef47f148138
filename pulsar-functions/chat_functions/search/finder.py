"""message.search: the messages of a room that hold all words of a query, newest first.

The index only proposes. Each hit is read as a message, as it is now, and held against the query: so a message that was
edited or deleted a moment ago is never found for what it does not say any more.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from chat_functions.history import History, within_bytes
from chat_functions.partitions import buckets, downwards
from chat_functions.readings import Reading, Readings
from chat_functions.room_log import RoomLog
from chat_functions.search.words import Words, words_of
from chat_functions.tables import Statement, Tables, TablesUnavailable
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.events import MessageEdited, MessageSent
from pulsar_data.model import RoomId, UserId
from pulsar_data.queries import SearchMessages
from pulsar_data.results import Found
from pulsar_data.rooms import Message

_READ_TERM = "SELECT seq FROM message_terms WHERE room_id = ? AND term = ? AND bucket = ? AND seq >= ? AND seq <= ?"
STATEMENTS = (_READ_TERM,)

TERMS = 8
"""Terms of a query that the index is asked for, the longest first; the messages are held against all of them."""
FRESH = 10_000
"""ms: what was written or edited so lately is looked at whether the index has it or not."""
CHUNK = 100
"""Messages read at once."""
OF_ONE = 2
"""Searches of one user at the same time; one more is refused (111)."""
OF_ALL = 8
"""Searches that look at the same time, here; more wait: nothing else that is read costs as much."""


class Search:
    """Raises RedisUnavailable, TablesUnavailable, ChatError."""

    def __init__(self, tables: Tables, readings: Readings, history: History, room_log: RoomLog) -> None:
        self._tables = tables
        self._readings = readings
        self._history = history
        self._log = room_log
        self._searching: Counter[UserId] = Counter()
        self._turns = asyncio.Semaphore(OF_ALL)

    async def find(self, query: SearchMessages) -> Found:
        """The newest hits below `before`, at most `limit`. ChatError 107 if the query holds no word, 111 if its user
        searches for too much at the same time.
        """
        if self._searching[query.user] >= OF_ONE:
            raise ChatError(ErrorCode.TOO_MANY_REQUESTS)
        self._searching[query.user] += 1
        try:
            async with self._turns:
                return await self._find(query)
        finally:
            self._searching[query.user] -= 1
            if not self._searching[query.user]:
                del self._searching[query.user]

    async def _find(self, query: SearchMessages) -> Found:
        words = words_of(query.text)
        if not words.asked:
            raise ChatError(ErrorCode.BAD_REQUEST, "there is no word in the query")
        reading = await self._readings.open(query.room, query.user, query.deadline)
        await self._log.check(reading)
        newest = reading.seq if query.before is None else min(query.before - 1, reading.seq)
        found: list[Message] = []
        async for seqs in self._proposed(reading, words, newest):
            found += await self._held_against(words, reading, seqs)
            if len(found) > query.limit:
                break
        page = within_bytes(found[: query.limit])
        return Found(messages=tuple(page), more=len(found) > len(page))

    async def _proposed(self, reading: Reading, words: Words, last: int) -> AsyncIterator[list[int]]:
        """Messages that have all terms, as the index has it, newest first, some at a time.

        With them those that were written or edited just now: the index may not have them yet.
        """
        terms = sorted(words.asked, key=lambda term: (-len(term), term))[:TERMS]
        fresh = _fresh(reading)
        for lowest, highest in downwards(reading.first, last):
            by_term = await self._seqs(reading.room, terms, lowest, highest)
            seqs = set.intersection(*by_term) | {seq for seq in fresh if lowest <= seq <= highest}
            proposed = sorted(seqs, reverse=True)
            for start in range(0, len(proposed), CHUNK):
                yield proposed[start : start + CHUNK]

    async def _seqs(self, room: RoomId, terms: Sequence[str], first: int, last: int) -> list[set[int]]:
        await self._tables.connected()
        there = buckets(first, last)
        asked: list[Statement] = [
            self._tables.bind(_READ_TERM, [uuid.UUID(room), term, bucket, first, last])
            for term in terms
            for bucket in there
        ]
        answers = await self._tables.execute(asked)
        by_term: list[set[int]] = []
        for place in range(len(terms)):
            seqs: set[int] = set()
            for rows in answers[place * len(there) : (place + 1) * len(there)]:
                if isinstance(rows, TablesUnavailable):
                    raise rows
                seqs.update(row[0] for row in rows)
            by_term.append(seqs)
        return by_term

    async def _held_against(self, words: Words, reading: Reading, seqs: Sequence[int]) -> list[Message]:
        messages = await self._history.some(reading, seqs)
        newest_first = [messages[seq] for seq in seqs if seq in messages]
        return [message for message in newest_first if words_of(message.text).contains(words)]


def _fresh(reading: Reading) -> set[int]:
    since = time.time_ns() // 1_000_000 - FRESH
    written = (event for event in reading.events if isinstance(event, MessageSent | MessageEdited))
    return {event.seq for event in written if event.time > since}

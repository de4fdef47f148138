"""search-index: keeps the index of words in step with the log, on a subscription of its own.

Optional: nothing waits for it, and without it search finds nothing. Where it is late, or wrong, search finds less but
never something else: archive holds every hit against the message itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pulsar

from chat_functions import dead_letters, logs
from chat_functions.batching import Inbox, Incoming, retrying
from chat_functions.dead_letters import DeadLetters
from chat_functions.producers import TopicProducer
from chat_functions.search import reindexing, terms
from chat_functions.search.lives import Lives
from chat_functions.search.reindexing import Reindexing
from chat_functions.search.terms import Change, Terms
from chat_functions.search.words import words_of
from chat_functions.settings import Settings
from chat_functions.tables import Tables, TablesUnavailable
from pulsar_data import topics
from pulsar_data.config import Live
from pulsar_data.events import LOG_ENTRY, LogEntry, MessageDeleted, MessageEdited, MessageSent
from pulsar_data.search import ReindexRoom

MODEST = 10
"""How nice this thread and those that it starts are to others: they get a tenth of what others get on the same core."""


class SearchIndex:
    """The handler of search-index."""

    THROWS_OUT: ClassVar[bool] = True

    def __init__(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, live: Live[Settings]) -> None:
        settings, self._live = live.now, live
        self._inbox = inbox
        self._tasks = tasks
        self._full = settings.batch
        self._tables = Tables(settings)
        self._terms = Terms(self._tables)
        self._lives = Lives()
        self._reindexing = Reindexing(self._tables, self._terms)
        self._graves = DeadLetters(TopicProducer(client, dead_letters.topic("search-index")), inbox)

    async def start(self) -> None:
        """Connect to Cassandra. Nobody waits for an index, so whoever else wants the core goes first."""
        os.nice(MODEST)
        await self._tables.connect([*terms.STATEMENTS, *reindexing.STATEMENTS])

    async def handle(self, batch: list[Incoming]) -> None:
        """Index a batch, and ack it whole. While Cassandra does not answer everything waits: there is nothing else.

        Nobody waits for it, so it gathers: the words that a room uses again and again become one write.
        """
        entries: list[LogEntry] = []
        indexed: list[Incoming] = []
        for incoming in batch:
            entry = await self._parse(incoming)
            if isinstance(entry, ReindexRoom):
                self._tasks.create_task(self._reindex(entry, incoming))
            elif entry is not None:
                entries.append(entry)
                indexed.append(incoming)
        counting = [entry for entry in entries if self._lives.counts(entry.room, entry.epoch)]
        await retrying(lambda: self._index(counting), (TablesUnavailable,))
        for incoming in indexed:
            self._inbox.finish(incoming)
        if batch and len(batch) < self._full:
            await asyncio.sleep(self._live.now.index_interval / 1000)

    async def bury(self, incoming: Incoming, reason: str) -> None:
        """See Handler."""
        await self._graves.bury(incoming, reason)

    async def _parse(self, incoming: Incoming) -> LogEntry | ReindexRoom | None:
        try:
            if incoming.message.topic_name().startswith(topics.REINDEX):
                return ReindexRoom.from_json(incoming.payload)
            return LOG_ENTRY.validate_json(incoming.payload)
        except ValueError as error:
            await self._graves.bury(incoming, dead_letters.invalid(error))
            return None

    async def _index(self, entries: Sequence[LogEntry]) -> None:
        """Everything new first, then of each message its last change: so each finds what it takes out."""
        now = time.time_ns() // 1_000_000
        await self._terms.add(list(_new(entries, now)))
        await self._terms.replace(list(_changed(entries, now)))

    async def _reindex(self, wanted: ReindexRoom, incoming: Incoming) -> None:
        started = time.monotonic()
        count = await retrying(lambda: self._reindexing.room(wanted.room), (TablesUnavailable,))
        took = round(time.monotonic() - started, 1)
        logs.info("room_reindexed", room=wanted.room, messages=count, seconds=took)
        self._inbox.finish(incoming)


def _new(entries: Sequence[LogEntry], now: int) -> Iterator[Change]:
    for entry in entries:
        if isinstance(entry, MessageSent) and not _expired(entry, now):
            yield _change(entry, words_of(entry.text).indexed, now)


def _changed(entries: Sequence[LogEntry], now: int) -> Iterator[Change]:
    """The last change of each message."""
    last = {(entry.room, entry.seq): entry for entry in entries if isinstance(entry, MessageEdited | MessageDeleted)}
    for entry in last.values():
        if isinstance(entry, MessageDeleted):
            yield _change(entry, frozenset(), now)
        elif not _expired(entry, now):
            yield _change(entry, words_of(entry.text).indexed, now)


def _change(entry: MessageSent | MessageEdited | MessageDeleted, terms: frozenset[str], now: int) -> Change:
    ttl = 0 if entry.expires is None else max(1, (entry.expires - now) // 1000)
    return Change(entry.room, entry.seq, entry.offset, terms, ttl)


def _expired(entry: MessageSent | MessageEdited, now: int) -> bool:
    return entry.expires is not None and entry.expires <= now

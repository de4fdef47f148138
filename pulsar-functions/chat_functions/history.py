"""message.list: the stored messages, and on top of them what is committed but not stored yet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from pydantic_core import to_json

from chat_functions import overlay
from chat_functions.overlay import Messages
from chat_functions.readings import Reading, Readings
from chat_functions.room_log import RoomLog
from chat_functions.stored_messages import StoredMessages
from pulsar_data.queries import ListMessages
from pulsar_data.results import MessagePage
from pulsar_data.rooms import Message

PAGE_BYTES = 500_000
"""Bytes of the messages of one answer; `around` asks for two of them. Clients in Python take frames of 1 MiB."""
REACTIONS = 5000
"""So many are shown of a message, the first in their order: the message must fit into an answer, whatever is done."""
_Page = tuple[list[Message], bool]
"""By rising seq, and whether there are more."""


class History:
    """Reads messages. Raises RedisUnavailable, TablesUnavailable, ChatError."""

    def __init__(self, readings: Readings, stored: StoredMessages, room_log: RoomLog) -> None:
        self._readings = readings
        self._stored = stored
        self._log = room_log

    async def page(self, query: ListMessages) -> MessagePage:
        """One page for one reader: without a hole but for messages that have expired, or an error.

        Of long messages there are fewer, with `more`: an answer is one Pulsar message.
        """
        reading = await self._readings.open(query.room, query.user, query.deadline)
        await self._log.check(reading)  # first: what is stored only while the page is read would pass for stored before
        page, more = await self._page(query, reading)
        return MessagePage(messages=tuple(page), head=reading.head, more=more)

    async def _page(self, query: ListMessages, reading: Reading) -> _Page:
        if query.after is not None:
            return await self._up(reading, query.after + 1, query.limit)
        if query.around is not None:
            return await self._around(reading, query.around, query.limit)
        newest = reading.seq if query.before is None else min(query.before - 1, reading.seq)
        return await self._down(reading, newest, query.limit)

    async def _down(self, reading: Reading, newest: int, limit: int) -> _Page:
        stored = await self._stored.down(reading.room, reading.first, newest, limit + 1)
        there = _between(current(stored, reading), reading.first, newest)
        page = within_bytes(there[-limit:][::-1])[::-1]
        return page, len(there) > len(page)

    async def _up(self, reading: Reading, oldest: int, limit: int) -> _Page:
        oldest = max(oldest, reading.first)
        stored = await self._stored.up(reading.room, oldest, reading.seq, limit + 1)
        there = _between(current(stored, reading), oldest, reading.seq)
        page = within_bytes(there[:limit])
        return page, len(there) > len(page)

    async def _around(self, reading: Reading, seq: int, limit: int) -> _Page:
        middle = min(seq, reading.seq)
        below: list[Message] = []
        more_below = middle > reading.first
        if limit > 1:
            below, more_below = await self._down(reading, middle - 1, limit // 2)
        above, more_above = await self._up(reading, middle, limit - len(below))
        return [*below, *above], more_below or more_above

    async def some(self, reading: Reading, seqs: Iterable[int]) -> Messages:
        """Those of these messages that are there; a hundred or so, not more. Whether the store lags is not asked."""
        wanted = set(seqs)
        messages = current(await self._stored.some(reading.room, wanted), reading)
        return {seq: message for seq, message in messages.items() if seq in wanted}


def current(messages: Messages, reading: Reading) -> Messages:
    """Stored messages as they are at the reader's head; those that have expired are gone."""
    overlay.apply(messages, reading.events, time.time_ns() // 1_000_000)
    return {seq: overlay.at_most(message, REACTIONS) for seq, message in messages.items()}


def within_bytes(messages: Sequence[Message]) -> list[Message]:
    """The first one, and as many more as an answer can hold."""
    if sum(map(_at_most_bytes, messages)) <= PAGE_BYTES:  # as nearly always
        return list(messages)
    left, page = PAGE_BYTES, list[Message]()
    for message in messages:
        left -= len(message.to_json())
        if page and left < 0:
            break
        page.append(message)
    return page


def _at_most_bytes(message: Message) -> int:
    """As JSON, where a character may take six."""
    users = len(message.mentions) + sum(map(len, message.reactions.values()))
    return 512 + 6 * len(message.text) + 200 * users + (len(to_json(message.meta)) if message.meta else 0)


def _between(messages: Messages, first: int, last: int) -> list[Message]:
    return [messages[seq] for seq in sorted(messages) if first <= seq <= last]

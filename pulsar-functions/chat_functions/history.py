"""message.list: the stored messages, and those that are committed but not stored yet."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import from_json

from chat_functions.copies import Copies
from chat_functions.messages import as_message
from chat_functions.redis_link import RedisLink
from chat_functions.tables import BUCKET, Tables
from chat_functions.views import Views
from pulsar_data import redis_keys
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.events import ROOM_EVENT, MessageSent
from pulsar_data.model import Model, RoomId
from pulsar_data.queries import ListMessages
from pulsar_data.rooms import Head, Message

READ_KIND = "SELECT kind FROM rooms_by_id WHERE room_id = ?"
_COLUMNS = "seq, offset, sender, key, text, time, edited_at, deleted, reply_to, mentions, reactions, meta"
READ_RANGE = f"SELECT {_COLUMNS} FROM messages WHERE room_id = ? AND bucket = ? AND seq >= ? AND seq <= ?"
STATEMENTS = (READ_KIND, READ_RANGE)


class MessagePage(Model):
    """Answer to message.list: by rising seq. `more`: there are more in the direction that was asked for."""

    messages: tuple[Message, ...]
    head: Head
    more: bool


@dataclass(frozen=True, slots=True)
class _Span:
    """seq numbers from first to last, both included; dense, so a span is a page."""

    first: int
    last: int
    more: bool


class History:
    """Reads pages. Raises RedisUnavailable, TablesUnavailable, ChatError."""

    def __init__(self, redis: RedisLink, tables: Tables, copies: Copies, views: Views) -> None:
        self._redis = redis
        self._tables = tables
        self._copies = copies
        self._views = views

    async def page(self, query: ListMessages) -> MessagePage:
        """One page for one member: all of the span or an error, never a part of it."""
        head = await self._head(query)
        recent = (await self._redis.execute(lambda pipe, _: pipe.lrange(redis_keys.recent(query.room), 0, -1)))[0]
        span = _span(query, head.seq)
        fresh = [event for event in map(ROOM_EVENT.validate_json, recent) if event.offset <= head.offset]
        messages = {one.seq: one for event in fresh if isinstance(event, MessageSent) for one in [as_message(event)]}
        messages.update(await self._stored(query.room, span))
        if any(seq not in messages for seq in range(span.first, span.last + 1)):
            raise ChatError(ErrorCode.INTERNAL, "message-store is behind by more than Redis remembers")
        page = tuple(messages[seq] for seq in range(span.first, span.last + 1))
        return MessagePage(messages=page, head=head, more=span.more)

    async def _head(self, query: ListMessages) -> Head:
        view = None
        if query.room in await self._copies.inbox(query.user):
            (view,) = await self._views.read([query.room], query.user, query.deadline)
        if view is None:
            there = await self._tables.read(READ_KIND, [uuid.UUID(query.room)])
            raise ChatError(ErrorCode.NOT_A_MEMBER if there else ErrorCode.ROOM_NOT_FOUND)
        return view.summary.head

    async def _stored(self, room: RoomId, span: _Span) -> dict[int, Message]:
        await self._tables.connected()
        buckets = range(span.first // BUCKET, span.last // BUCKET + 1) if span.last >= span.first else range(0)
        statements = [
            self._tables.bind(READ_RANGE, [uuid.UUID(room), bucket, span.first, span.last]) for bucket in buckets
        ]
        stored: dict[int, Message] = {}
        for rows in await self._tables.execute(statements):
            if isinstance(rows, Exception):
                raise rows
            stored.update((row[0], _message(room, row)) for row in rows)
        return stored


def _span(query: ListMessages, head: int) -> _Span:
    """The seqs of a page; they are dense from 1 to the head."""
    limit = query.limit
    if query.after is not None:
        first, last = query.after + 1, min(query.after + limit, head)
        return _Span(first, last, more=last < head)
    if query.around is not None:
        first = max(1, min(query.around, head) - limit // 2)
        last = min(first + limit - 1, head)
        return _Span(first, last, more=first > 1 or last < head)
    last = head if query.before is None else min(query.before - 1, head)
    first = max(1, last - limit + 1)
    return _Span(first, last, more=first > 1)


def _message(room: RoomId, row: Sequence[object]) -> Message:
    seq, offset, sender, key, text, at, edited, deleted, reply_to, mentions, reactions, meta = row
    return Message.model_validate(
        {
            "room": room, "seq": seq, "offset": offset, "sender": str(sender), "key": str(key), "text": text or "",
            "time": at, "edited_at": edited, "deleted": deleted, "reply_to": reply_to,
            "mentions": tuple(str(user) for user in mentions or ()),  # type: ignore[attr-defined]
            "reactions": _reactions(reactions),
            "meta": from_json(meta) if isinstance(meta, str) else None,
        }
    )  # fmt: skip


def _reactions(stored: object) -> dict[str, tuple[str, ...]]:
    """From the (emoji, user) pairs of a row."""
    by_emoji: dict[str, tuple[str, ...]] = {}
    for emoji, user in stored or ():  # type: ignore[attr-defined]
        by_emoji[emoji] = (*by_emoji.get(emoji, ()), str(user))
    return by_emoji

"""Bringing back a room that Redis has lost, exactly: a fence, the marker, the head that message-store writes, the seed.

From the fence on nothing is committed under an earlier epoch. The marker goes through the room's own log, behind all
that was ever committed of it. When message-store reaches it, all before it is stored, and the head it writes is exact.
Numbers stay dense; only the epoch is new. Two instances may want the same at the same time, and one may die in the
middle: the fence in Redis says who does it, and a seed counts only behind its own.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic_core import from_json
from redis.asyncio.client import Pipeline

from chat_functions import logs, metrics
from chat_functions.batching import CrashPoints, retrying
from chat_functions.changes import FACTS, fact
from chat_functions.numbering import FENCE, HOLD, SEED
from chat_functions.producers import Outgoing, TopicProducer
from chat_functions.redis_link import RedisLink, RedisUnavailable, call
from chat_functions.tables import BUCKET, Tables, TablesUnavailable
from pulsar_data import ids, redis_keys
from pulsar_data.clock import Clock
from pulsar_data.events import MessageDeleted, MessageEdited, MessageSent, RoomRebuild
from pulsar_data.model import RoomId, UserId
from pulsar_data.rooms import Membership

READ_HEAD = "SELECT offset, seq, epoch FROM room_heads WHERE room_id = ?"
READ_ROOM = f"SELECT kind, {', '.join(FACTS)} FROM rooms_by_id WHERE room_id = ?"
READ_MEMBERS = (
    "SELECT user_id, role, joined_seq, joined_offset, joined_at, muted_until, banned, read_seq"
    " FROM members_by_room WHERE room_id = ?"
)
READ_LAST = (
    "SELECT offset, sender, key, text, time, reply_to, mentions, meta, edited_at, deleted, TTL(sender) FROM messages"
    " WHERE room_id = ? AND bucket = ? AND seq = ?"
)
READ_LOG = "SELECT offset, event FROM room_log WHERE room_id = ? AND bucket = ? AND offset > ? AND offset <= ?"
STATEMENTS = (READ_HEAD, READ_ROOM, READ_MEMBERS, READ_LAST, READ_LOG)

LOOK_UP = 2 * 3600 * 1000 + ids.KEY_AHEAD
"""ms. An unseen idempotency key that was made earlier than so long after a rebuild, by its own word, is looked up.

Before that rebuild nobody took a key from so far ahead, were the clocks of Redis and of a gateway an hour wrong each.
"""
ABSENT = 60 * 1000
"""ms for which it is remembered that a room does not exist."""
DEAD = 2000
"""ms without a word after which whoever rebuilds is taken for dead, by the clock of Redis."""
MARK_AGAIN = 60.0
"""Seconds until the marker is sent again, where message-store is not seen to have reached it."""
HOLD_EVERY = 0.5
"""Seconds between two such words."""
RECENT = 100
"""Events that a rebuilt room starts with, so that gateways catch up and nobody need come back."""
_MEMBERS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the tables hold of a room, once everything before the marker is in them."""

    head: tuple[int, int, int]
    facts: dict[str, str] | None
    members: list[tuple[UserId, Membership]]
    banned: list[UserId]
    last: dict[str, bytes]
    """Head fields of the last message."""
    recent: list[str]


class Rebuild:
    """Rebuilds rooms, one call a room; waits as long as it takes, since nothing in that room may go on before."""

    def __init__(
        self, tables: Tables, redis: RedisLink, events: TopicProducer, clock: Clock, crash: CrashPoints
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._redis = redis
        self._events = events
        self._crash = crash

    async def rebuild(self, room: RoomId, stuck: int | None = None) -> bool:
        """Returns whether the room exists. Its head is in Redis now, or the mark that there is none.

        `stuck`: the epoch in which the room cannot go on, though Redis has it.
        """
        started = time.monotonic()
        while True:
            fenced = await retrying(
                lambda: self._fence(room, stuck), (TablesUnavailable, RedisUnavailable, _HeldByAnother)
            )
            if isinstance(fenced, _There):
                return fenced.exists
            self._crash.pass_by("fenced")
            if (stored := await self._behind_fence(room, fenced)) is not None:
                break
            logs.warning("rebuild_again", room=room, epoch=fenced)  # Redis was lost again, or we were taken for dead
        self._crash.pass_by("seeded")
        took = time.monotonic() - started
        metrics.REBUILD.observe(took)
        logs.info("room_rebuilt", room=room, epoch=fenced, seconds=round(took, 3))
        return stored.facts is not None

    async def _fence(self, room: RoomId, stuck: int | None) -> int | _There:
        """The new epoch, from which on nobody commits under an older one."""
        rows = await self._tables.read(READ_HEAD, [uuid.UUID(room)])
        epoch = max(self._clock.now(), (rows[0][2] or 0) + 1 if rows else 0)
        args: list[str | int | bytes] = [epoch, DEAD, "" if stuck is None else stuck]
        (answer,) = await self._redis.execute(
            lambda pipe, run_id: call(pipe, FENCE, [redis_keys.head(room)], [run_id, *args])
        )
        match answer:
            case ["there", exists]:
                return _There(bool(exists))
            case ["held"]:
                raise _HeldByAnother(f"another instance rebuilds room {room}")
            case _:
                return int(answer[1])

    async def _behind_fence(self, room: RoomId, epoch: int) -> _Stored | None:
        """What the room was rebuilt from; None if the fence is not ours any more."""
        holding = asyncio.create_task(self._hold(room, epoch))
        try:
            stored: _Stored | None = None
            while stored is None:
                await retrying(lambda: self._mark(room, epoch), (_NotPublished,))
                self._crash.pass_by("marked")
                with suppress(TimeoutError):  # once more, should the marker be a dead letter: a repeat changes nothing
                    async with asyncio.timeout(MARK_AGAIN):
                        stored = await retrying(
                            lambda: self._await_store(room, epoch), (TablesUnavailable, _NotStoredYet)
                        )
            self._crash.pass_by("headed")
            return stored if await retrying(lambda: self._seed(room, stored), (RedisUnavailable,)) else None
        finally:
            holding.cancel()

    async def _hold(self, room: RoomId, epoch: int) -> None:
        """Say again and again that we live."""
        while True:
            await asyncio.sleep(HOLD_EVERY)
            with suppress(RedisUnavailable):
                await self._redis.execute(
                    lambda pipe, run_id: call(pipe, HOLD, [redis_keys.head(room)], [run_id, epoch])
                )

    async def _mark(self, room: RoomId, epoch: int) -> None:
        marker = RoomRebuild(room=room, epoch=epoch, time=self._clock.now())
        if not (await self._events.publish([Outgoing(room, marker.to_json())]))[0]:
            raise _NotPublished(room)

    async def _await_store(self, room: RoomId, epoch: int) -> _Stored:
        deadline, delay = time.monotonic() + 5.0, 0.003
        while time.monotonic() < deadline:
            rows = await self._tables.read(READ_HEAD, [uuid.UUID(room)])
            if rows and rows[0][2] is not None and rows[0][2] >= epoch:
                return await self._read(room, rows[0])
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, 0.1)
        raise _NotStoredYet(f"message-store has not reached the rebuild marker of room {room}")

    async def _read(self, room: RoomId, head: tuple[int, int, int]) -> _Stored:
        facts = await self._tables.read(READ_ROOM, [uuid.UUID(room)])
        if not facts or facts[0][0] is None:
            return _Stored(head, None, [], [], {}, [])
        named = dict(zip(("kind", *FACTS), facts[0], strict=True))
        known = {field: fact(value) for field, value in named.items() if value is not None}
        rows = await self._tables.read(READ_MEMBERS, [uuid.UUID(room)])
        members = [_member(row) for row in rows if row[1] is not None]
        known["owners"] = str(sum(membership.role == "owner" for _, membership in members))
        banned = [UserId(str(row[0])) for row in rows if row[1] is None and row[6]]
        last, recent = await self._last(room, head), await self._recent(room, head[0])
        return _Stored(head, known, members, banned, last, recent)

    async def _recent(self, room: RoomId, offset: int) -> list[str]:
        """The last events of the log up to the head, without a hole; the log forgets old ones."""
        after = max(0, offset - RECENT)
        rows: list[tuple[Any, ...]] = []
        for bucket in range((after + 1) // BUCKET, offset // BUCKET + 1):
            rows += await self._tables.read(READ_LOG, [uuid.UUID(room), bucket, after, offset])
        dense = [event for place, (number, event) in enumerate(rows) if number == offset - len(rows) + 1 + place]
        return dense if len(dense) == len(rows) else []

    async def _last(self, room: RoomId, head: tuple[int, int, int]) -> dict[str, bytes]:
        """The last message, and what changed it since, as the head has them."""
        _, seq, epoch = head
        rows = await self._tables.read(READ_LAST, [uuid.UUID(room), seq // BUCKET, seq]) if seq else []
        if not rows or rows[0][1] is None:
            return {}
        offset, sender, key, text, at, reply_to, named, meta, edited_at, deleted, ttl = rows[0]
        numbers = {"room": room, "epoch": epoch, "offset": offset, "actor": str(sender), "key": str(key), "digest": ""}
        expires = {} if ttl is None else {"expires": self._clock.now() + ttl * 1000}
        common: dict[str, Any] = numbers | expires | {"seq": seq}
        sent = MessageSent(
            **common, time=at, text=text or "", reply_to=reply_to, meta=from_json(meta) if meta else None,
            mentions=tuple(UserId(str(user)) for user in named or ()),
        )  # fmt: skip
        if deleted:
            return {"last": sent.to_json(), "last_change": MessageDeleted(**common, time=at).to_json()}
        if edited_at is not None:
            edit = MessageEdited(**common, time=edited_at, text=sent.text)
            return {"last": sent.to_json(), "last_change": edit.to_json()}
        return {"last": sent.to_json()}

    async def _seed(self, room: RoomId, stored: _Stored) -> bool:
        members, banned = prepared_keys(room, stored.head[2])
        for start in range(0, len(stored.members), _MEMBERS_AT_ONCE):
            some = stored.members[start : start + _MEMBERS_AT_ONCE]
            await self._redis.execute(partial(_add_members, key=members, members=some))
        if stored.banned:
            await self._redis.execute(lambda pipe, _: _add_banned(pipe, banned, stored.banned))
        (seeded,) = await self._redis.execute(lambda pipe, run_id: self._queue_seed(pipe, run_id, room, stored))
        return bool(seeded)

    def _queue_seed(self, pipe: Pipeline, run_id: str, room: RoomId, stored: _Stored) -> None:
        offset, seq, epoch = stored.head
        members, banned = prepared_keys(room, epoch)
        keys = [
            redis_keys.head(room), redis_keys.members(room), members, redis_keys.recent(room),
            redis_keys.banned(room), banned,
        ]  # fmt: skip
        state, ttl = ("live", "") if stored.facts is not None else ("absent", str(ABSENT))
        # A room without any event has no key that Cassandra could know: without this, each new room asks for hours.
        look_up_until = self._clock.now() + LOOK_UP if offset else 0
        args: list[str | int | bytes] = [run_id, epoch, offset, seq, state, look_up_until, ttl]
        args += [len(stored.recent), *stored.recent]
        fields: dict[str, str | bytes] = {**(stored.facts or {}), **stored.last}
        for field, value in fields.items():
            args += [field, value]
        call(pipe, SEED, keys, args)


@dataclass(frozen=True, slots=True)
class _There:
    """Somebody else was faster: Redis has the room, or knows that it does not exist."""

    exists: bool


class _HeldByAnother(Exception):
    """It is being rebuilt."""


class _NotPublished(Exception):
    """The broker did not take the marker."""


class _NotStoredYet(Exception):
    """message-store is behind, or not running."""


def _add_members(pipe: Pipeline, _: str, *, key: str, members: list[tuple[UserId, Membership]]) -> None:
    pipe.hset(key, mapping={user: membership.to_json() for user, membership in members})
    pipe.expire(key, 600)


def _add_banned(pipe: Pipeline, key: str, users: list[UserId]) -> None:
    pipe.sadd(key, *users)
    pipe.expire(key, 600)


def prepared_keys(room: RoomId, epoch: int) -> tuple[str, str]:
    """Where members and banned users are gathered until SEED puts them into place."""
    return f"{redis_keys.members(room)}:{epoch}", f"{redis_keys.banned(room)}:{epoch}"


def _member(row: tuple[Any, ...]) -> tuple[UserId, Membership]:
    user, role, joined_seq, offset, at, muted, _, read = row
    joined = joined_seq or 0
    return UserId(str(user)), Membership(
        role=role, joined_seq=joined, read_seq=max(read or 0, joined), offset=offset or 0, time=at or 0,
        muted_until=muted,
    )  # fmt: skip

"""member.list: the stored members page by page, and on top of them who changed since.

Ten thousand members are too many to read at once, so pages come from Cassandra. Whom the last events of the room name
is read from Redis, which knows better: the store may not have those events yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chat_functions.readings import Readings
from chat_functions.redis_link import RedisLink
from chat_functions.room_log import RoomLog
from chat_functions.tables import Tables
from pulsar_data import redis_keys
from pulsar_data.events import (
    MemberBanned,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    MemberRoleChanged,
    RoomCreated,
    RoomEvent,
)
from pulsar_data.model import RoomId, UserId
from pulsar_data.queries import ListMembers
from pulsar_data.results import MemberPage
from pulsar_data.rooms import Member, Membership

_COLUMNS = "user_id, role, joined_at, muted_until, read_seq, joined_seq"
READ_FIRST = f"SELECT {_COLUMNS} FROM members_by_room WHERE room_id = ? LIMIT ?"
READ_BEHIND = f"SELECT {_COLUMNS} FROM members_by_room WHERE room_id = ? AND user_id > ? LIMIT ?"
STATEMENTS = (READ_FIRST, READ_BEHIND)

AT_LEAST = 200
"""Rows read at once: of a room that many are kept out of, few are members."""
Members = dict[UserId, Member]


@dataclass(frozen=True, slots=True)
class _Stored:
    """Members in order, and the last of them if there may be more behind it."""

    members: Members
    end: UserId | None

    def reaches(self, user: UserId) -> bool:
        """Whether the user would be here, were it a member."""
        return self.end is None or _order(user) <= _order(self.end)


class MemberLists:
    """Raises RedisUnavailable, TablesUnavailable, ChatError."""

    def __init__(self, redis: RedisLink, tables: Tables, readings: Readings, room_log: RoomLog) -> None:
        self._redis = redis
        self._tables = tables
        self._readings = readings
        self._log = room_log

    async def page(self, query: ListMembers) -> MemberPage:
        """The members behind `after`, at most `limit`."""
        reading = await self._readings.open(query.room, query.user, query.deadline)
        await self._log.check(reading)
        named = {user: joined for user, joined in _named(reading.events).items() if _behind(user, query.after)}
        now = await self._now(query.room, list(named))
        after = query.after
        while True:
            stored = await self._stored(query.room, after, query.limit)
            there = _merged(stored, named, now, after)
            if there or stored.end is None:
                return MemberPage(
                    members=tuple(there[: query.limit]), more=stored.end is not None or len(there) > query.limit
                )
            after = stored.end  # all of them have just left

    async def _stored(self, room: RoomId, after: UserId | None, limit: int) -> _Stored:
        """Rows without a role are of users who are kept out."""
        behind: list[Any] = [] if after is None else [uuid.UUID(after)]
        cql = READ_FIRST if after is None else READ_BEHIND
        most = max(limit, AT_LEAST)
        rows = await self._tables.read(cql, [uuid.UUID(room), *behind, most + 1])
        more, rows = len(rows) > most, rows[:most]
        members = {UserId(str(row[0])): _stored_member(row) for row in rows if row[1] is not None}
        return _Stored(members, UserId(str(rows[-1][0])) if more else None)

    async def _now(self, room: RoomId, users: Sequence[UserId]) -> dict[UserId, Membership]:
        """Those of these users who are members now."""
        if not users:
            return {}
        (known,) = await self._redis.execute(lambda pipe, _: pipe.hmget(redis_keys.members(room), list(users)))
        return {user: Membership.from_json(one) for user, one in zip(users, known, strict=True) if one is not None}


def _named(events: Sequence[RoomEvent]) -> dict[UserId, int | None]:
    """Everybody whom these events may have changed, and when they let them in, if they did (ms)."""
    named: dict[UserId, int | None] = {}
    for event in events:
        named.setdefault(event.actor, None)
        match event:
            case RoomCreated():
                named.update(dict.fromkeys([event.actor, *event.members], event.time))
            case MemberJoined():
                named[event.user] = event.time
            case MemberLeft() | MemberRoleChanged() | MemberMuted() | MemberBanned():
                named.setdefault(event.user, None)
    return named


def _merged(
    stored: _Stored, named: dict[UserId, int | None], now: dict[UserId, Membership], after: UserId | None
) -> list[Member]:
    """A page of the stored members, each as it is now, with those who are new."""
    members = dict(stored.members)
    for user, joined in named.items():
        was = members.pop(user, None)
        if user in now and _behind(user, after) and stored.reaches(user):
            members[user] = _fresh_member(user, now[user], joined or (was.joined_at if was else now[user].time))
    return [members[user] for user in sorted(members, key=_order)]


def _behind(user: UserId, after: UserId | None) -> bool:
    return after is None or _order(user) > _order(after)


def _order(user: UserId) -> tuple[int, bytes]:
    """As Cassandra orders `uuid`: by version first. (Ids of version 1 it orders by time; ours are none.)"""
    parsed = uuid.UUID(user)
    return parsed.version or 0, parsed.bytes


def _stored_member(row: Sequence[Any]) -> Member:
    user, role, joined_at, muted_until, read_seq, joined_seq = row
    return Member(
        user=UserId(str(user)), role=role, joined_at=joined_at or 0, muted_until=muted_until,
        read_seq=max(read_seq or 0, joined_seq or 0),
    )  # fmt: skip


def _fresh_member(user: UserId, member: Membership, joined_at: int) -> Member:
    return Member(
        user=user, role=member.role, joined_at=joined_at, read_seq=member.read_seq, muted_until=member.muted_until
    )

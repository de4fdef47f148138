"""A room for somebody who reads in it: whether they may, from where on, and what is not stored yet."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from redis.asyncio.client import Pipeline

from chat_functions.copies import Copies
from chat_functions.numbering import READ_ROOM
from chat_functions.redis_link import RedisLink, call
from chat_functions.tables import Tables
from chat_functions.views import Views
from pulsar_data import redis_keys
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.events import ROOM_EVENT, RoomEvent
from pulsar_data.ids import SYSTEM
from pulsar_data.model import RoomId, UserId
from pulsar_data.rooms import Head, Membership

READ_KIND = "SELECT kind FROM rooms_by_id WHERE room_id = ?"
STATEMENTS = (READ_KIND,)


@dataclass(frozen=True)
class Reading:
    """One room at one moment, up to its visible head. `first`: the lowest seq that this reader may read."""

    room: RoomId
    epoch: int
    offset: int
    seq: int
    first: int
    fresh: Sequence[str]
    """The last events as JSON, without a hole, the newest last: the newest may not be stored yet."""

    @property
    def head(self) -> Head:
        """As clients see it."""
        return Head(seq=self.seq, offset=self.offset, epoch=str(self.epoch))

    @cached_property
    def events(self) -> tuple[RoomEvent, ...]:
        """The last events."""
        return tuple(map(ROOM_EVENT.validate_json, self.fresh))


class Readings:
    """Opens rooms for reading. Raises RedisUnavailable, TablesUnavailable, ChatError."""

    def __init__(self, redis: RedisLink, tables: Tables, copies: Copies, views: Views) -> None:
        self._redis = redis
        self._tables = tables
        self._copies = copies
        self._views = views

    async def open(self, room: RoomId, user: UserId, deadline: int, *, events: bool = True) -> Reading:
        """ChatError 400 if there is no such room, 403 if the user may not read in it; `deadline` in ms.

        Without `events` the last events are not read.
        A room that Redis has lost is rebuilt, if it is known at all: every rebuild costs a marker in the log.
        """
        answer = await self._look(room, user, events=events)
        if answer[0] == "lost":
            await self._check_known(room, user)  # of a direct room of others, too, nobody else has it brought back
            await self._views.read([room], user, deadline)
            answer = await self._look(room, user, events=events)
        match answer[0]:
            case "open":
                return _reading(room, user, answer)
            case "no_member":
                raise ChatError(ErrorCode.NOT_A_MEMBER)
            case "no_room":
                await self._check_known(room, user)  # a direct room of others takes as long as one that is not there
                raise ChatError(ErrorCode.ROOM_NOT_FOUND)
            case _:
                raise ChatError(ErrorCode.INTERNAL, "the room was lost again")

    async def _look(self, room: RoomId, user: UserId, *, events: bool) -> Sequence[str]:
        answers = await self._redis.execute(lambda pipe, run_id: _queue_read(pipe, run_id, room, user, events=events))
        answer: Sequence[str] = answers[0]
        return answer

    async def _check_known(self, room: RoomId, user: UserId) -> None:
        """ChatError 400 if there is no such room, or it is a direct one of others: as quick, and with as much work."""
        rows, is_theirs = await asyncio.gather(
            self._tables.read(READ_KIND, [uuid.UUID(room)]), self._has(user, room)
        )  # fmt: skip
        if not is_theirs and (not rows or (rows[0][0] == "direct" and user != SYSTEM)):
            raise ChatError(ErrorCode.ROOM_NOT_FOUND)

    async def _has(self, user: UserId, room: RoomId) -> bool:
        return user != SYSTEM and room in await self._copies.inbox(user)


def _queue_read(pipe: Pipeline, run_id: str, room: RoomId, user: UserId, *, events: bool) -> None:
    keys = [redis_keys.head(room), redis_keys.members(room), redis_keys.banned(room), redis_keys.recent(room)]
    call(pipe, READ_ROOM, keys, [run_id, user, int(user == SYSTEM), int(events)])


def _reading(room: RoomId, user: UserId, answer: Sequence[str]) -> Reading:
    epoch, offset, seq = map(int, answer[1:4])
    first = 1
    if answer[4] == "from_join" and user != SYSTEM:  # who has not joined reads nothing
        first = (Membership.from_json(answer[5]).joined_seq if answer[5] else seq) + 1
    return Reading(room=room, epoch=epoch, offset=offset, seq=seq, first=first, fresh=answer[6:])

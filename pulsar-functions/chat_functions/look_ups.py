"""What chat-router asks Cassandra: about named users, keys that may have been used long ago, and older messages."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from chat_functions import logs, rulebook
from chat_functions.numbering import Numbers
from chat_functions.rulebook import MessageChange
from chat_functions.settings import Settings
from chat_functions.tables import BUCKET, KEY_BUCKET, Statement, Tables, TablesUnavailable, Unreadable
from chat_functions.work import LATE, Work
from pulsar_data import ids
from pulsar_data.config import Live
from pulsar_data.errors import ErrorCode
from pulsar_data.model import UserId

READ_KEY = (
    "SELECT seq, offset, time, digest FROM message_by_key WHERE room_id = ? AND bucket = ? AND sender = ? AND key = ?"
)
READ_USER = "SELECT state FROM users_by_id WHERE user_id = ?"
READ_ROOMS = "SELECT COUNT(*) FROM rooms_by_user WHERE user_id = ?"
READ_MESSAGE = "SELECT sender, deleted, TTL(sender) FROM messages WHERE room_id = ? AND bucket = ? AND seq = ?"
READ_STORED = "SELECT seq FROM room_heads WHERE room_id = ?"
STATEMENTS = (READ_KEY, READ_USER, READ_ROOMS, READ_MESSAGE, READ_STORED)

AT_ONCE = 128
"""Questions to Cassandra."""
UNKNOWN = "?"
"""Of a message that Cassandra does not give: whatever was to be done to it is refused for the moment (100)."""
LONGEST = 1.0
"""Seconds between two tries."""
TRIED = 5.0
"""Seconds for which Cassandra is believed to be away, once nobody could be told anything: until then, the next one asks
for SHORT only."""
SHORT = 1.0
LARGE = 4
"""So many calls of AT_ONCE questions are under way at the same time: whoever names thousands waits for their turn."""
Rows = list[tuple[Any, ...]]
Question = tuple[str, Sequence[object]]


class LookUps:
    """Each waits for Cassandra for as long as somebody waits for the answer (LATE), and not for what it will not read.

    What was not told then is refused with 100: a room must not stand still for one message, or one of its people.
    """

    def __init__(self, tables: Tables, live: Live[Settings]) -> None:
        self._tables = tables
        self._live = live
        self._turns = asyncio.Semaphore(LARGE)
        self._away = float("-inf")

    async def users(self, works: Sequence[Work]) -> None:
        """Sets `verdict` of each work that has none: 402 if it names somebody who does not exist, 106 for one with too
        many rooms.
        """
        named = sorted({user for work in works for user in rulebook.strangers(work.asked)})
        entering = sorted({user for work in works for user in rulebook.newcomers(work.asked)})
        limit = self._live.now.room_limit
        questions: list[Question] = [(READ_USER, [uuid.UUID(user)]) for user in named]
        questions += [(READ_ROOMS, [uuid.UUID(user)]) for user in entering]
        answers = await self._ask(questions)
        users, rooms = answers[: len(named)], answers[len(named) :]
        unknown = {user for user, rows in zip(named + entering, users + rooms, strict=True) if rows is None}
        missing = {user for user, rows in zip(named, users, strict=True) if rows is not None and not _is_active(rows)}
        full = {user for user, rows in zip(entering, rooms, strict=True) if rows and rows[0][0] >= limit}
        for work in works:
            work.asked_users = True
            work.verdict = work.verdict or _verdict(work, missing, full, unknown)

    async def keys(self, works: Sequence[Work]) -> None:
        """Sets `answered` and `conflict` of each work whose key is known."""
        keys = [(READ_KEY, _key(work)) for work in works]
        for work, rows in zip(works, await self._ask(keys), strict=True):
            if rows is None:
                work.verdict = int(ErrorCode.INTERNAL)
            elif rows:
                seq, offset, time, digest = rows[0]
                work.conflict = digest != work.digest
                work.answered = Numbers(0, int(offset), int(seq), int(time), int(offset), True, True)

    async def messages(self, works: Sequence[Work]) -> None:
        """Sets `found` of each work; UNKNOWN also where message-store has not come to the message in time."""
        waiting, end, delay = list(works), time.monotonic() + LATE, 0.02
        while waiting:
            found = await self._messages(waiting)
            for work, one in zip(waiting, found, strict=True):
                work.found = one or UNKNOWN
            waiting = [work for work, one in zip(waiting, found, strict=True) if one is None]
            if not waiting or time.monotonic() > end:
                return
            logs.warning("not_stored_yet", seconds=delay, messages=len(waiting))
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST)

    async def _messages(self, works: Sequence[Work]) -> list[str | None]:
        """As the rules want to know it; None where the message is not there because message-store is behind."""
        rooms = {work.room: uuid.UUID(work.room) for work in works}
        # First: else a message that is stored between the two would be neither there nor still to come.
        heads = dict(zip(rooms, await self._ask([(READ_STORED, [room]) for room in rooms.values()]), strict=True))
        places = [(rooms[work.room], _seq(work)) for work in works]
        messages = await self._ask([(READ_MESSAGE, [room, seq // BUCKET, seq]) for room, seq in places])
        return [_told(_seq(work), message, heads[work.room]) for work, message in zip(works, messages, strict=True)]

    async def _ask(self, questions: Sequence[Question]) -> list[Rows | None]:
        """The rows of each, None of those that were not told in time. Some at a time: a room with a thousand first
        members is two thousand questions, and only what is late is repeated.
        """
        answers: list[Rows | None] = [None] * len(questions)
        if not questions:
            return answers
        patience = SHORT if time.monotonic() - self._away < TRIED else LATE
        try:
            async with asyncio.timeout(patience):
                await self._tables.connected()
        except TimeoutError:
            self._away = time.monotonic()
            return answers
        waiting, end, delay = list(range(len(questions))), time.monotonic() + patience, 0.02
        told = False
        while waiting:
            late: list[int] = []
            for start in range(0, len(waiting), AT_ONCE):
                some = waiting[start : start + AT_ONCE]
                if start and time.monotonic() > end:
                    late += some
                    continue
                for place, answer in zip(some, await self._ask_once([questions[one] for one in some]), strict=True):
                    if isinstance(answer, Unreadable):
                        logs.warning("rows_unreadable", question=questions[place][0])
                    elif isinstance(answer, TablesUnavailable):
                        late.append(place)
                    else:
                        answers[place], told = answer, True
            if not late:
                return answers
            if time.monotonic() > end:
                if not told:
                    self._away = time.monotonic()
                return answers
            logs.warning("waiting", seconds=delay, questions=len(late))
            await asyncio.sleep(delay)
            waiting, delay = late, min(2 * delay, LONGEST)
        return answers

    async def _ask_once(self, questions: Sequence[Question]) -> list[Rows | TablesUnavailable]:
        bound: list[Statement] = [self._tables.bind(cql, values) for cql, values in questions]
        async with self._turns if len(bound) == AT_ONCE else nullcontext():
            return await self._tables.execute(bound)


def _key(work: Work) -> list[object]:
    room, actor, key = (uuid.UUID(one) for one in (work.room, work.asked.actor, work.asked.key))
    return [room, ids.key_time(work.asked.key) // KEY_BUCKET, actor, key]


def _seq(work: Work) -> int:
    command = work.asked
    assert isinstance(command, MessageChange)
    return command.seq


def _told(seq: int, message: Rows | None, head: Rows | None) -> str | None:
    if message is None or head is None:
        return UNKNOWN
    if message and message[0][0] is not None:
        return _found(*message[0])
    stored = (head[0][0] or 0) if head else 0
    return "-" if stored >= seq else None


def _found(sender: uuid.UUID, deleted: bool | None, ttl: int | None) -> str:
    """As lua/rules/message.lua wants it. `ttl`: seconds that the message is kept, None for ever."""
    known = {"author": str(sender), "deleted": bool(deleted)}
    expires = {} if ttl is None else {"expires": time.time_ns() // 1_000_000 + ttl * 1000}
    return json.dumps(known | expires)


def _is_active(rows: Rows) -> bool:
    return bool(rows) and rows[0][0] == "active"


def _verdict(work: Work, missing: set[UserId], full: set[UserId], unknown: set[UserId]) -> int | None:
    if (rulebook.strangers(work.asked) | rulebook.newcomers(work.asked)) & unknown:
        return int(ErrorCode.INTERNAL)
    if rulebook.strangers(work.asked) & missing:
        return int(ErrorCode.USER_NOT_FOUND)
    return int(ErrorCode.LIMIT_EXCEEDED) if rulebook.newcomers(work.asked) & full else None

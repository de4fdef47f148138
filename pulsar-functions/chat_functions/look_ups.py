"""What chat-router asks Cassandra: whether named users exist, and whether an idempotency key was used long ago."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from chat_functions.batching import retrying
from chat_functions.numbering import Numbers
from chat_functions.tables import KEY_BUCKET, Statement, Tables, TablesUnavailable
from chat_functions.work import Work, named_users
from pulsar_data import ids

READ_KEY = (
    "SELECT seq, offset, time, digest FROM message_by_key WHERE room_id = ? AND bucket = ? AND sender = ? AND key = ?"
)
READ_USER = "SELECT state FROM users_by_id WHERE user_id = ?"
STATEMENTS = (READ_KEY, READ_USER)

Rows = list[tuple[object, ...]]


class LookUps:
    """Both wait for Cassandra as long as it takes."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def users(self, works: Sequence[Work]) -> None:
        """Sets `unknown` of each work."""
        users = sorted({user for work in works for user in named_users(work.command)})
        answers = await self._ask([(READ_USER, [uuid.UUID(user)]) for user in users])
        missing = {user for user, rows in zip(users, answers, strict=True) if not rows or rows[0][0] != "active"}
        for work in works:
            work.unknown = frozenset(named_users(work.command) & missing)

    async def keys(self, works: Sequence[Work]) -> None:
        """Sets `answered` and `conflict` of each work whose key is known."""
        keys = [(READ_KEY, _key(work)) for work in works]
        for work, rows in zip(works, await self._ask(keys), strict=True):
            if rows:
                seq, offset, time, digest = rows[0]
                work.conflict = digest != work.digest
                work.answered = Numbers(0, int(offset), int(seq), int(time), int(offset), True, True)  # type: ignore[call-overload]

    async def _ask(self, questions: Sequence[tuple[str, Sequence[object]]]) -> list[Rows]:
        result: list[Rows] = await retrying(lambda: self._ask_once(questions), (TablesUnavailable,))
        return result

    async def _ask_once(self, questions: Sequence[tuple[str, Sequence[object]]]) -> list[Rows]:
        await self._tables.connected()
        bound: list[Statement] = [self._tables.bind(cql, values) for cql, values in questions]
        rows = []
        for answer in await self._tables.execute(bound):
            if isinstance(answer, TablesUnavailable):
                raise answer
            rows.append(answer)
        return rows


def _key(work: Work) -> list[object]:
    room, actor, key = (uuid.UUID(one) for one in (work.room, work.asked.actor, work.asked.key))
    return [room, ids.key_time(work.asked.key) // KEY_BUCKET, actor, key]

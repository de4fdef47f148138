"""Copies in Redis of what Cassandra holds of a user: its token version, sessions and profile, and its inbox.

Filled under a lease: take the lease, read Cassandra, fill if the lease still stands. Whoever changes the truth writes
Cassandra first and then deletes the copy (user-auth), or adds to it (router and message-store, for inboxes). So a copy
never holds what was revoked before it was read. A copy filled under another run of Redis is none.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio.client import Pipeline

from chat_functions import logs
from chat_functions.numbering import FILL, LEASE
from chat_functions.redis_link import RedisLink, RedisUnavailable, call
from chat_functions.tables import Tables
from pulsar_data import redis_keys
from pulsar_data.model import RoomId, UserId
from pulsar_data.rooms import Profile
from pulsar_data.tokens import ExternalUser

READ_PROFILE = "SELECT username, display_name, token_version, state FROM users_by_id WHERE user_id = ?"
READ_SESSIONS = "SELECT session_id, token_version FROM sessions_by_user WHERE user_id = ?"
READ_INBOX = "SELECT room_id, role FROM rooms_by_user WHERE user_id = ?"
WRITE_EXTERNAL = (
    "INSERT INTO users_by_id (user_id, username, display_name, token_version, created_at, state)"
    " VALUES (?, ?, ?, 1, ?, 'active') USING TIMESTAMP 1000"
)
"""A user whom an external issuer vouches for. By the rule of that table its write time is its version's: so it neither
overwrites a later change nor brings back who was erased, however often and from wherever it is written."""
WRITE_NAME = "INSERT INTO usernames (username, user_id) VALUES (?, ?) USING TIMESTAMP 1000"
STATEMENTS = (READ_PROFILE, READ_SESSIONS, READ_INBOX, WRITE_EXTERNAL, WRITE_NAME)

_LEASE_TTL = 10_000
_COPY_TTL = 24 * 3600 * 1000
_TRIES = 5

Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """A user as its tokens are judged."""

    profile: Profile
    version: int
    sessions: frozenset[str]

    def allows(self, session: str, version: int) -> bool:
        """Whether a token of this session and version still counts."""
        return version == self.version and session in self.sessions


class Copies:
    """Reads copies, filling them where they are missing. Raises RedisUnavailable, TablesUnavailable."""

    def __init__(self, redis: RedisLink, tables: Tables) -> None:
        self._redis = redis
        self._tables = tables

    async def account(self, user: UserId, session: str, version: int) -> Account | None:
        """The account, if a token of this session and version still counts; None if it does not, or nobody is there.

        Before it says no it asks Cassandra: a copy may be older than a sign-in that could not delete it.
        """
        account = await self._account(user)
        if account is not None and account.allows(session, version):
            return account
        await self._redis.execute(lambda pipe, _: pipe.delete(redis_keys.token_version(user)))
        account = await self._account(user)
        return account if account is not None and account.allows(session, version) else None

    async def lives(self, user: UserId, session: str) -> bool:
        """Whether the session goes on, though a token of it may not count any more: its password was changed."""
        account = await self._account(user)
        return account is not None and session in account.sessions

    async def external(self, user: UserId, vouched: ExternalUser, issued: int) -> Account | None:
        """The account of an external issuer's user, made if it is not there; None if it is erased, or was revoked.

        `issued`: when the token was, in ms. Revoking such a user sets its version to the time of that.
        """
        account = await self._account(user)
        if account is None:
            await self._introduce(user, vouched)
            await self._redis.execute(lambda pipe, _: pipe.delete(redis_keys.token_version(user)))
            account = await self._account(user)
        return account if account is not None and issued >= account.version else None

    async def _introduce(self, user: UserId, vouched: ExternalUser) -> None:
        """Twice is as good as once."""
        user_id, username = uuid.UUID(user), external_username(user)
        created = datetime.now(UTC)
        await self._tables.read(WRITE_NAME, [username, user_id])
        await self._tables.read(WRITE_EXTERNAL, [user_id, username, vouched.name or "", created])
        logs.info("external_user_made", user=user)

    async def _account(self, user: UserId) -> Account | None:
        fields = await self._copy(redis_keys.token_version(user), lambda: self._read_account(user), keep=False)
        if "ver" not in fields:
            return None
        profile = Profile(user_id=user, username=fields["username"], display_name=fields.get("display_name"))
        sessions = (field.removeprefix("sid:") for field in fields if field.startswith("sid:"))
        return Account(profile, int(fields["ver"]), frozenset(sessions))

    async def inbox(self, user: UserId) -> list[RoomId]:
        """All rooms of a user, by id. Rooms it has left may still be there: the room's own members decide."""
        fields = await self._copy(redis_keys.user_rooms(user), lambda: self._read_inbox(user), keep=True)
        return sorted(RoomId(field) for field in fields if not field.startswith("~"))

    async def _copy(self, key: str, read: Callable[[], Awaitable[Fields]], *, keep: bool) -> Fields:
        for _ in range(_TRIES):
            fields = await self._try(key, secrets.token_hex(8), read, keep=keep)
            if fields is not None:
                return fields
        raise RedisUnavailable("a copy in Redis is being changed all the time")

    async def _try(self, key: str, fresh: str, read: Callable[[], Awaitable[Fields]], *, keep: bool) -> Fields | None:
        """None: to be tried again, since the truth has changed, or to see what others have added."""
        answer = (await self._redis.execute(lambda pipe, run: _queue_lease(pipe, run, key, fresh, keep=keep)))[0]
        if answer[0] == "filled":
            return dict(zip(answer[1::2], answer[2::2], strict=True))
        lease, fields = answer[1], await read()
        filled = await self._redis.execute(lambda pipe, run: _queue_fill(pipe, run, key, lease, fields))
        return fields if filled[0] and not keep else None

    async def _read_account(self, user: UserId) -> Fields:
        user_id = uuid.UUID(user)
        rows = await self._tables.read(READ_PROFILE, [user_id])
        if not rows or rows[0][3] not in (None, "active"):
            return {}
        username, display_name, version, _ = rows[0]
        fields = {"username": username, "ver": str(version or 0)}
        if display_name:  # user-auth writes no nulls: an empty name is none
            fields["display_name"] = display_name
        for session, let_in in await self._tables.read(READ_SESSIONS, [user_id]):
            if (let_in or 0) >= (version or 0):  # one of a lower version has ended, even if its row is still there
                fields[f"sid:{session}"] = "1"
        return fields

    async def _read_inbox(self, user: UserId) -> Fields:
        rows = await self._tables.read(READ_INBOX, [uuid.UUID(user)])
        return {str(room): "1" for room, role in rows if role is not None}


def external_username(user: UserId) -> str:
    """The name by which others find such a user. Nobody can have taken it: user-auth allows no colon in a name."""
    return f"ext:{user.replace('-', '')[:28]}"


def _queue_lease(pipe: Pipeline, run_id: str, key: str, lease: str, *, keep: bool) -> None:
    call(pipe, LEASE, [key], [run_id, lease, _LEASE_TTL, int(keep)])


def _queue_fill(pipe: Pipeline, run_id: str, key: str, lease: str, fields: Fields) -> None:
    pairs: Sequence[str] = [part for pair in fields.items() for part in pair]
    call(pipe, FILL, [key], [run_id, lease, _COPY_TTL, *pairs])

"""user.get and user.find: what anybody may know of somebody. The tables are user-auth's and only read here."""

from __future__ import annotations

import unicodedata
import uuid

from chat_functions.tables import Tables
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.model import UserId
from pulsar_data.queries import FindUser, GetUser
from pulsar_data.rooms import PublicProfile

READ_PUBLIC = "SELECT username, display_name, bio, state FROM users_by_id WHERE user_id = ?"
READ_NAME = "SELECT user_id FROM usernames WHERE username = ?"
STATEMENTS = (READ_PUBLIC, READ_NAME)


class People:
    """Raises TablesUnavailable; ChatError 402 for somebody who never was."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, query: GetUser) -> PublicProfile:
        """Somebody by id. Of who has gone only that: their messages are still there."""
        return await self._profile(query.target)

    async def find(self, query: FindUser) -> PublicProfile:
        """Who has this name now, however it is typed. Nobody has the name of somebody who has gone."""
        rows = await self._tables.read(READ_NAME, [_one_spelling(query.username)])
        if not rows or rows[0][0] is None:  # a name that was given back
            raise ChatError(ErrorCode.USER_NOT_FOUND)
        found = await self._profile(UserId(str(rows[0][0])))
        if found.deleted:
            raise ChatError(ErrorCode.USER_NOT_FOUND)
        return found

    async def _profile(self, user: UserId) -> PublicProfile:
        rows = await self._tables.read(READ_PUBLIC, [uuid.UUID(user)])
        if not rows or rows[0][3] is None:
            raise ChatError(ErrorCode.USER_NOT_FOUND)
        username, display_name, bio, state = rows[0]
        if state != "active":
            return PublicProfile(user_id=user, deleted=True)
        return PublicProfile(user_id=user, username=username, display_name=display_name or None, bio=bio or None)


def _one_spelling(typed: str) -> str:
    """As user-auth spells every name: NFKC, case-folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", typed).casefold())

"""What an operator does to an account: by the same rules as its owner, but without its password."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from user_auth import usernames
from user_auth.app import Parts, now_ms
from user_auth.export import Export
from user_auth.users import Erased, User

_ID_LENGTH = 36
"""Of the hyphenated form. No username is as long."""


@dataclass(frozen=True)
class Operator:
    """Every method raises Unavailable where a store does not answer; each may then be repeated."""

    parts: Parts

    def find(self, name_or_id: str) -> User | Erased | None:
        """The account of that username or id; what is left of it where it was erased."""
        user_id = _id(name_or_id) or self._owner(name_or_id)
        if user_id is None:
            return None
        return self.parts.users.find(user_id) or self.parts.users.erased(user_id)

    def _owner(self, typed: str) -> UUID | None:
        """Names that nobody could sign up with are looked for as they are: users of other issuers have such."""
        return self.parts.users.owner(usernames.normalise(typed) or typed)

    def export(self, user: User) -> Iterator[bytes]:
        """JSON lines. Raises Unavailable, also in the middle: then what came is not whole, and has no last line."""
        return Export(self.parts.sessions, self.parts.rooms, now_ms).pieces(user)

    def erase(self, account: User | Erased) -> None:
        """Erase it, or do again what may be left of an erasure."""
        if isinstance(account, Erased):
            self.parts.erasures.finish(account)
        else:
            self.parts.erasures.erase(account)

    def revoke(self, user: User) -> None:
        """End every session: all tokens are void, and all sockets close."""
        self.parts.signins.end_all(user)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) == _ID_LENGTH else None
    except ValueError:
        return None

"""Accounts in Cassandra: tables `users_by_id` and `usernames`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from user_auth.database import Database
from user_auth.errors import Unavailable

ACTIVE: Final = "active"
ERASED: Final = "erased"
MARGIN: Final = 24 * 3600 * 1_000_000
"""µs. A deletion for good is dated ahead by this much: it takes what another machine, ahead of us, has written,
and nothing under way there writes it back. Ids are never used again, so nothing later is lost by it."""
_COLUMNS: Final = "user_id, username, display_name, bio, password_hash, token_version, created_at, state"
_READ: Final = f"{_COLUMNS}, WRITETIME(display_name) AS name_written, WRITETIME(bio) AS bio_written"


@dataclass(frozen=True)
class User:
    """An account. `version` and `created_at` in ms since the epoch; `repr` shows no hash. `written`: its profile's
    write time in µs.

    An account without a password (somebody else vouches for its user) has an empty hash, which nothing matches.
    """

    user_id: UUID
    username: str
    display_name: str
    bio: str
    password_hash: str
    version: int
    created_at: int
    written: int = 0

    def __repr__(self) -> str:
        return f"User({self.user_id})"


@dataclass(frozen=True)
class Erased:
    """What is left of an erased account: its id, and its name until that was given back."""

    user_id: UUID
    username: str | None


class Users:
    """Reads and writes accounts. Every method raises Unavailable where Cassandra does not answer in time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, user_id: UUID) -> User | None:
        """The active account of an id."""
        rows = self._database.run(f"SELECT {_READ} FROM users_by_id WHERE user_id = ?", user_id)
        return _user(rows[0]) if rows and rows[0].state == ACTIVE else None

    def erased(self, user_id: UUID) -> Erased | None:
        """What is left of an account, if it was erased."""
        rows = self._database.run("SELECT username, state FROM users_by_id WHERE user_id = ?", user_id)
        return Erased(user_id, rows[0].username) if rows and rows[0].state == ERASED else None

    def owner(self, username: str) -> UUID | None:
        """Whose name that is; None as well for one that was given back long enough ago."""
        rows = self._database.run("SELECT user_id FROM usernames WHERE username = ?", username)
        return rows[0].user_id if rows else None

    def add(self, user: User) -> None:
        """Write a new account. Nobody finds it by name before `claim`."""
        self._database.run(
            f"INSERT INTO users_by_id ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
            user.user_id, user.username, user.display_name, user.bio, user.password_hash, user.version,
            datetime.fromtimestamp(user.created_at / 1000, UTC), ACTIVE, _written(user.version),
        )  # fmt: skip

    def claim(self, username: str, user_id: UUID) -> UUID:
        """Give the name to this account unless it is somebody's; whose it is now."""
        cql = "INSERT INTO usernames (username, user_id) VALUES (?, ?) IF NOT EXISTS"
        row = self._decide(cql, username, user_id)
        if not row.applied and row.user_id is None:  # it was given back: the row is there, but nobody's
            row = self._decide(
                "UPDATE usernames SET user_id = ? WHERE username = ? IF user_id = null", user_id, username
            )
        owner: UUID = user_id if row.applied else row.user_id
        return owner

    def give_back(self, username: str, user_id: UUID, seconds: int) -> None:
        """Let the name be anybody's after so many seconds. Nothing happens where it is not this account's.

        Repeating it starts the seconds again.
        """
        cql = "UPDATE usernames USING TTL ? SET user_id = ? WHERE username = ? IF user_id = ?"
        self._decide(cql, seconds, user_id, username, user_id)

    def _decide(self, cql: str, *values: object) -> Any:
        """The answer to a lightweight transaction. One that timed out may have happened; asking again tells."""
        try:
            return self._database.run(cql, *values)[0]
        except Unavailable:
            return self._database.run(cql, *values)[0]

    def discard(self, user: User) -> None:
        """Take back an account that did not get its name."""
        cql = "DELETE FROM users_by_id USING TIMESTAMP ? WHERE user_id = ?"
        self._database.run(cql, _written(user.version) + 1, user.user_id)

    def erase(self, user: User, version: int) -> None:
        """Take everything from an account but its id and its name: all of it or nothing, and for good.

        From then on nobody finds it: it can neither sign in nor is any token of it good.
        """
        self._database.run(
            "BEGIN UNLOGGED BATCH USING TIMESTAMP ?"
            " UPDATE users_by_id SET token_version = ?, state = ? WHERE user_id = ?;"
            " DELETE display_name, bio, password_hash, created_at FROM users_by_id WHERE user_id = ?;"
            " APPLY BATCH",
            _written(version) + MARGIN, version, ERASED, user.user_id, user.user_id,
        )  # fmt: skip

    def forget_name(self, user_id: UUID, now_ms: int) -> None:
        """An erased account has given back its name."""
        cql = "DELETE username FROM users_by_id USING TIMESTAMP ? WHERE user_id = ?"
        self._database.run(cql, _written(now_ms) + MARGIN, user_id)

    def set_version(self, user_id: UUID, version: int) -> None:
        """Void every token of a lower version. Of two at once the higher stays."""
        cql = "UPDATE users_by_id USING TIMESTAMP ? SET token_version = ? WHERE user_id = ?"
        self._database.run(cql, _written(version), version, user_id)

    def set_password(self, user_id: UUID, password_hash: str, version: int) -> None:
        """A new password and its version, both or neither. Of two at once the one of the higher version stays whole."""
        cql = "UPDATE users_by_id USING TIMESTAMP ? SET password_hash = ?, token_version = ? WHERE user_id = ?"
        self._database.run(cql, _written(version), password_hash, version, user_id)

    def set_profile(self, user: User, now_ms: int) -> None:
        """Write `display_name` and `bio`: later than what was read, whatever the clock says."""
        cql = "UPDATE users_by_id USING TIMESTAMP ? SET display_name = ?, bio = ? WHERE user_id = ?"
        self._database.run(cql, max(_written(now_ms), user.written + 1), user.display_name, user.bio, user.user_id)


def next_version(user: User, now_ms: int) -> int:
    """Higher than the user's version, whatever the clock says."""
    return max(now_ms, user.version + 1)


def milliseconds(moment: datetime) -> int:
    """The driver gives UTC without a zone."""
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _written(version: int) -> int:
    """The write time of a version, µs: so a lower version never overwrites a higher one."""
    return version * 1000


def _user(row: Any) -> User:
    return User(
        user_id=row.user_id, username=row.username or "", display_name=row.display_name or "", bio=row.bio or "",
        password_hash=row.password_hash or "", version=row.token_version or 0,
        created_at=milliseconds(row.created_at) if row.created_at else 0,
        written=max(row.name_written or 0, row.bio_written or 0),
    )  # fmt: skip

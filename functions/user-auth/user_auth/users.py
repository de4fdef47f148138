"""Accounts in Cassandra: tables `users_by_id` and `usernames`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from user_auth.database import Database
from user_auth.errors import Unavailable

ACTIVE: Final = "active"
_COLUMNS: Final = "user_id, username, display_name, bio, password_hash, token_version, created_at, state"


@dataclass(frozen=True)
class User:
    """An account. `version` and `created_at` in ms since the epoch; `repr` shows no hash."""

    user_id: UUID
    username: str
    display_name: str
    bio: str
    password_hash: str
    version: int
    created_at: int

    def __repr__(self) -> str:
        return f"User({self.user_id})"


class Users:
    """Reads and writes accounts. Every method raises Unavailable where Cassandra does not answer in time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, user_id: UUID) -> User | None:
        """The active account of an id."""
        rows = self._database.run(f"SELECT {_COLUMNS} FROM users_by_id WHERE user_id = ?", user_id)
        return _user(rows[0]) if rows and rows[0].state == ACTIVE else None

    def owner(self, username: str) -> UUID | None:
        """Whose name that is."""
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
        """Give the name to this account unless it is somebody's; whose it is now.

        A lightweight transaction that timed out may have happened: asking again tells, as it names the owner.
        """
        cql = "INSERT INTO usernames (username, user_id) VALUES (?, ?) IF NOT EXISTS"
        try:
            rows = self._database.run(cql, username, user_id)
        except Unavailable:
            rows = self._database.run(cql, username, user_id)
        owner: UUID = user_id if rows[0].applied else rows[0].user_id
        return owner

    def discard(self, user: User) -> None:
        """Take back an account that did not get its name."""
        cql = "DELETE FROM users_by_id USING TIMESTAMP ? WHERE user_id = ?"
        self._database.run(cql, _written(user.version) + 1, user.user_id)

    def set_version(self, user_id: UUID, version: int) -> None:
        """Void every token of a lower version. Of two at once the higher stays."""
        cql = "UPDATE users_by_id USING TIMESTAMP ? SET token_version = ? WHERE user_id = ?"
        self._database.run(cql, _written(version), version, user_id)

    def set_password(self, user_id: UUID, password_hash: str, version: int) -> None:
        """A new password and its version, both or neither. Of two at once the one of the higher version stays whole."""
        cql = "UPDATE users_by_id USING TIMESTAMP ? SET password_hash = ?, token_version = ? WHERE user_id = ?"
        self._database.run(cql, _written(version), password_hash, version, user_id)

    def set_profile(self, user: User, now_ms: int) -> None:
        """Write `display_name` and `bio`."""
        cql = "UPDATE users_by_id USING TIMESTAMP ? SET display_name = ?, bio = ? WHERE user_id = ?"
        self._database.run(cql, max(_written(now_ms), _written(user.created_at) + 1), user.display_name, user.bio,
                           user.user_id)  # fmt: skip


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
        user_id=row.user_id, username=row.username, display_name=row.display_name or "", bio=row.bio or "",
        password_hash=row.password_hash, version=row.token_version, created_at=milliseconds(row.created_at),
    )  # fmt: skip

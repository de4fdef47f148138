"""Sessions in Cassandra: table `sessions_by_user`, a partition a user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from user_auth.database import Database
from user_auth.users import MARGIN, milliseconds

_COLUMNS: Final = (
    "user_id, session_id, device, refresh_hash, token_version, created_at, used_at, expires_at,"
    " WRITETIME(refresh_hash) AS written"
)


@dataclass(frozen=True)
class Session:
    """A sign-in on one device. Times and `version` in ms; `written` is the row's write time in µs."""

    user_id: UUID
    session_id: UUID
    device: str
    refresh_hash: bytes
    version: int
    created_at: int
    used_at: int
    expires_at: int
    written: int = 0

    def __repr__(self) -> str:
        return f"Session({self.user_id}, {self.session_id})"

    def used(self, refresh_hash: bytes, version: int, now_ms: int, lifetime: int) -> Session:
        """This session after it was let in again, good for `lifetime` more seconds."""
        return replace(
            self, refresh_hash=refresh_hash, version=version, used_at=now_ms, expires_at=now_ms + lifetime * 1000
        )


class Sessions:
    """Reads and writes sessions. Every method raises Unavailable where Cassandra does not answer in time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, user_id: UUID, session_id: UUID) -> Session | None:
        """The session, unless it was ended or has expired."""
        rows = self._database.run(
            f"SELECT {_COLUMNS} FROM sessions_by_user WHERE user_id = ? AND session_id = ?", user_id, session_id
        )
        return _session(rows[0]) if rows else None

    def of(self, user_id: UUID, version: int) -> Iterator[Session]:
        """The live sessions of a user of this version, a page at a time."""
        rows = self._database.pages(f"SELECT {_COLUMNS} FROM sessions_by_user WHERE user_id = ?", user_id)
        return (_session(row) for row in rows if row.token_version >= version)

    def write(self, session: Session) -> None:
        """Write the whole row, to vanish when the session expires.

        It is dated from `used_at`, the time before the row was read: a deletion in between is later, and stays.
        """
        lifetime = (session.expires_at - session.used_at) // 1000
        self._database.run(
            "INSERT INTO sessions_by_user (user_id, session_id, device, refresh_hash, token_version, created_at,"
            " used_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
            session.user_id, session.session_id, session.device, session.refresh_hash, session.version,
            _moment(session.created_at), _moment(session.used_at), _moment(session.expires_at),
            max(session.used_at * 1000, session.written + 1), lifetime,
        )  # fmt: skip

    def others(self, user_id: UUID, session_id: UUID | None) -> Sequence[UUID]:
        """The ids of a user's sessions, but this one."""
        rows = self._database.run("SELECT session_id FROM sessions_by_user WHERE user_id = ?", user_id)
        return [row.session_id for row in rows if row.session_id != session_id]

    def end(self, user_id: UUID, session_ids: Sequence[UUID], now_ms: int) -> None:
        """Delete these sessions for good. Repeating it changes nothing."""
        cql = "DELETE FROM sessions_by_user USING TIMESTAMP ? WHERE user_id = ? AND session_id IN ?"
        for start in range(0, len(session_ids), 100):
            self._database.run(cql, now_ms * 1000 + MARGIN, user_id, list(session_ids[start : start + 100]))

    def end_every(self, user_id: UUID, now_ms: int) -> None:
        """Delete all sessions of a user that will never have another, those that are just being written, too."""
        cql = "DELETE FROM sessions_by_user USING TIMESTAMP ? WHERE user_id = ?"
        self._database.run(cql, now_ms * 1000 + MARGIN, user_id)


def _moment(milliseconds_: int) -> datetime:
    return datetime.fromtimestamp(milliseconds_ / 1000, UTC)


def _session(row: Any) -> Session:
    return Session(
        user_id=row.user_id, session_id=row.session_id, device=row.device or "", refresh_hash=row.refresh_hash,
        version=row.token_version, created_at=milliseconds(row.created_at), used_at=milliseconds(row.used_at),
        expires_at=milliseconds(row.expires_at), written=row.written,
    )  # fmt: skip

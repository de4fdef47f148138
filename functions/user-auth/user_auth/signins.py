"""The life of a session: started by a sign-in, kept alive by refreshing, ended by its user or by a thief."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from pulsar_data.tokens import AccessClaims
from user_auth import logs
from user_auth.errors import Code, Refused, Unavailable
from user_auth.models import SessionInfo, SessionList, Tokens
from user_auth.revocations import Revocations
from user_auth.sessions import Session, Sessions
from user_auth.tokens import AccessTokens, RefreshToken
from user_auth.users import User, Users, next_version

LISTED: Final = 200
"""Sessions that are shown."""
MOST: Final = 200
"""Live sessions of a user; one more, and the one last used the longest ago ends. All of them are copied into Redis and
read whenever a token is judged."""


TOLD: Final = 10
"""So many of those are told to gateways at once; the sockets of the others end with their tokens."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request with a good access token, on which live session."""

    user: User
    session: Session


@dataclass(frozen=True)
class Signins:
    """`lifetime` of a session in seconds since it was last used; `clock` gives ms since the epoch.

    Every method raises Unavailable where a store does not answer in time.
    """

    users: Users
    sessions: Sessions
    tokens: AccessTokens
    revocations: Revocations
    lifetime: int
    clock: Callable[[], int]

    def start(self, user: User, device: str) -> Tokens:
        """A new session of a user who has proved who they are. Of too many the one last used the longest ago ends."""
        now, session_id = self.clock(), uuid4()
        self._make_room(user)
        session = Session(
            user_id=user.user_id, session_id=session_id, device=device, refresh_hash=b"", version=user.version,
            created_at=now, used_at=now, expires_at=now,
        )  # fmt: skip
        tokens = self._let_in(user, session, now)
        logs.info("signed_in", user=str(user.user_id), session=str(session_id))
        return tokens

    def refresh(self, text: str) -> Tokens:
        """The next tokens of a session. Raises Refused 401.

        A token that was used before means that two parties have it: nobody can tell which is the thief, so the session
        ends for both. That holds for a client that lost the answer, too: it signs in again.
        """
        token, now = RefreshToken.parse(text), self.clock()
        session = self.sessions.find(token.user, token.session) if token else None
        if token is None or session is None or not token.is_of_session(session.refresh_hash):
            raise Refused(Code.INVALID_REFRESH_TOKEN, "This refresh token is of no live session: sign in again.")
        if not token.is_latest(session.refresh_hash):
            self._stolen(session, now)
        user = self.users.find(session.user_id)
        if user is None or session.version < user.version:
            raise _ended()
        return self._let_in(user, session, now, token.family)

    def caller(self, claims: AccessClaims) -> Caller:
        """The user and session of checked claims, if both are live in Cassandra. Raises Refused `session_ended`."""
        user = self.users.find(UUID(claims.sub))
        session = self.sessions.find(UUID(claims.sub), UUID(claims.sid)) if user else None
        if user is None or session is None or min(claims.ver, session.version) < user.version:
            raise _ended()
        return Caller(user, session)

    def overview(self, caller: Caller) -> SessionList:
        """The live sessions of the caller. Memory holds those that are shown, however many there are."""
        live = self.sessions.of(caller.user.user_id, caller.user.version)
        latest = heapq.nlargest(LISTED + 1, live, key=lambda session: session.used_at)
        shown = (_shown(session, caller.session.session_id) for session in latest[:LISTED])
        return SessionList(sessions=tuple(shown), more=len(latest) > LISTED)

    def end(self, user_id: UUID, session_id: UUID) -> None:
        """End one session. Repeating it tells the gateways again. Raises Unavailable `revocation_delayed`."""
        now = self.clock()
        self.sessions.end(user_id, [session_id], now)
        self.revocations.ended(user_id, session_id, now)
        logs.info("session_ended", user=str(user_id), session=str(session_id))

    def end_all(self, user: User) -> None:
        """End every session of a user. Raises Unavailable `revocation_delayed`.

        The version alone voids them; deleting the rows keeps the list of sessions honest.
        """
        now = self.clock()
        with self.revocations.all_ended_after(user.user_id, now):
            self.users.set_version(user.user_id, next_version(user, now))
            self.sessions.end(user.user_id, self.sessions.others(user.user_id, None), now)
        logs.info("sessions_ended", user=str(user.user_id))

    def end_again(self, claims: AccessClaims) -> None:
        """Of a session that has ended: whoever may not know it yet is told again. Raises `revocation_delayed`."""
        self.revocations.ended(UUID(claims.sub), UUID(claims.sid), self.clock())

    def keep_only(self, caller: Caller, now: int) -> Tokens:
        """New tokens for this session, whose user has a new version; all others end.

        Raises Unavailable. The others go first: if this session's row cannot be written, too much has ended, never too
        little.
        """
        user_id, kept = caller.user.user_id, caller.session.session_id
        self.sessions.end(user_id, self.sessions.others(user_id, kept), now)
        logs.info("sessions_ended", user=str(user_id))
        return self._let_in(caller.user, caller.session, now)

    def _let_in(self, user: User, session: Session, now: int, family: bytes = b"") -> Tokens:
        """Write the session's next life, then hand out its tokens: nobody holds a token of a session that is not."""
        secret = RefreshToken.new(user.user_id, session.session_id, family)
        access = self.tokens.issue(user.user_id, session.session_id, user.version, now)
        self.sessions.write(session.used(secret.digest, user.version, now, self.lifetime))
        self.revocations.noted(user.user_id)
        return Tokens(
            access_token=access, refresh_token=str(secret), expires_in=self.tokens.lifetime, user_id=str(user.user_id)
        )

    def _make_room(self, user: User) -> None:
        live = sorted(self.sessions.of(user.user_id, user.version), key=lambda session: session.used_at)
        surplus = [session.session_id for session in live[: max(0, len(live) - MOST + 1)]]
        if not surplus:
            return
        now = self.clock()
        self.sessions.end(user.user_id, surplus, now)
        logs.info("sessions_ended", user=str(user.user_id))
        for session_id in surplus[-TOLD:]:
            try:
                self.revocations.ended(user.user_id, session_id, now)
            except Unavailable:  # their sockets end with their tokens; whoever signs in just now is not to wait for it
                return

    def _stolen(self, session: Session, now: int) -> None:
        logs.warning("refresh_token_reused", user=str(session.user_id), session=str(session.session_id))
        self.sessions.end(session.user_id, [session.session_id], now)
        self.revocations.ended(session.user_id, session.session_id, now)
        raise Refused(Code.REFRESH_TOKEN_REUSED, "This refresh token was used before. The session is ended: sign in.")


def _shown(session: Session, current: UUID) -> SessionInfo:
    return SessionInfo(
        session_id=str(session.session_id), device=session.device, created_at=session.created_at,
        used_at=session.used_at, expires_at=session.expires_at, current=session.session_id == current,
    )  # fmt: skip


def _ended() -> Refused:
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return Refused(Code.SESSION_ENDED, "This session has ended: sign in again.", challenge)

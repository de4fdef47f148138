"""Makes everybody notice that something about a user has changed.

The order is the contract: Cassandra first (the truth), then Redis forgets its copy, then the gateways are told.
Whatever fails after the first step, no token that was voided ever opens a connection again once Redis has forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from pulsar_data.model import UserId
from pulsar_data.tokens import SessionsRevoked
from user_auth import logs
from user_auth.announcements import Announcements
from user_auth.errors import Code, Unavailable
from user_auth.memory import Memory
from user_auth.users import User

_DELAYED: Final = (
    "It is done and stays done, but connections that are open now may live until their access token expires."
)


class Revocations:
    """Steps two and three; the caller has written Cassandra."""

    def __init__(self, memory: Memory, announcements: Announcements) -> None:
        self._memory = memory
        self._announcements = announcements

    def ended(self, user: UUID, session: UUID, now_ms: int) -> None:
        """One session is over. Raises Unavailable `revocation_delayed`."""
        self._tell(SessionsRevoked(user=UserId(str(user)), session=str(session), time=now_ms), user)

    def all_ended(self, user: UUID, now_ms: int, but: UUID | None = None) -> None:
        """All are over, but one. Raises Unavailable `revocation_delayed`."""
        kept = str(but) if but else None
        self._tell(SessionsRevoked(user=UserId(str(user)), except_session=kept, time=now_ms), user)

    @contextmanager
    def all_ended_after(self, user: UUID, now_ms: int, but: UUID | None = None) -> Iterator[None]:
        """As all_ended, behind what ends them in Cassandra. Also where that fails: it may have happened.

        Too much has ended then, never too little.
        """
        try:
            yield
        finally:
            self.all_ended(user, now_ms, but)

    def noted(self, user: UUID) -> None:
        """Something was added: a session, or a new life of one. Never raises.

        A reader whose copy lacks a session has to ask Cassandra before it refuses, so an old copy costs a read, not
        the sign-in.
        """
        try:
            self._memory.forget(user)
        except Unavailable:
            logs.warning("copy_not_forgotten", user=str(user))

    def changed(self, user: User, now_ms: int) -> None:
        """The profile has changed. Raises Unavailable where the old one may still be shown.

        Devices that are connected are told; one that is not, or cannot be told now, sees it when it connects again.
        """
        try:
            self._memory.forget(user.user_id)
        except Unavailable as error:
            raise Unavailable("It is saved, but others may see the old profile for a while. Try again.") from error
        from pulsar_data.news import ProfileChanged  # it brings the events of rooms along, which a start can do without

        event = ProfileChanged(
            user=UserId(str(user.user_id)), display_name=user.display_name, bio=user.bio, time=now_ms
        )
        if not _succeeds(lambda: self._announcements.tell(event)):
            logs.warning("profile_not_announced", user=str(user.user_id))

    def _tell(self, event: SessionsRevoked, user: UUID) -> None:
        """Both steps are tried, whichever fails: each closes a door of its own."""
        forgotten = _succeeds(lambda: self._memory.forget(user))
        told = _succeeds(lambda: self._announcements.tell(event))
        if not (forgotten and told):
            logs.warning("revocation_delayed", user=str(user))
            raise Unavailable(_DELAYED, Code.REVOCATION_DELAYED)


def _succeeds(step: Callable[[], None]) -> bool:
    try:
        step()
    except Unavailable:
        return False
    return True

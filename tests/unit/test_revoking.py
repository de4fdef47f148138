"""What ends sessions tells everybody, also where nobody knows whether Cassandra did it."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from pulsar_data.tokens import SessionsRevoked
from user_auth.errors import Unavailable
from user_auth.revocations import Revocations


class Memory:
    """Redis, as far as it is forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[UUID] = []

    def forget(self, user: UUID) -> None:
        """Delete the copy."""
        self.forgotten.append(user)


class Announcements:
    """Pulsar, as far as it is told."""

    def __init__(self) -> None:
        self.told: list[SessionsRevoked] = []

    def tell(self, event: SessionsRevoked) -> None:
        """Publish."""
        self.told.append(event)


def test_a_write_that_was_not_answered_may_have_happened() -> None:
    memory, announcements, user, kept = Memory(), Announcements(), uuid4(), uuid4()
    revocations = Revocations(memory, announcements)  # type: ignore[arg-type]
    with pytest.raises(Unavailable), revocations.all_ended_after(user, 5, but=kept):
        raise Unavailable("no answer in time")
    assert memory.forgotten == [user]
    assert [(event.user, event.except_session) for event in announcements.told] == [(str(user), str(kept))]

"""Erasing an account for good. Its messages stay, as those of a deleted user.

The order is the contract: the account's row first, in one write, and from then on nobody can sign in and every token is
void. What follows may be repeated until it is done; what is left to do can be seen in the row, which keeps its name
until that was given back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from user_auth import logs
from user_auth.revocations import Revocations
from user_auth.sessions import Sessions
from user_auth.users import Erased, User, Users, next_version


@dataclass(frozen=True)
class Erasures:
    """`name_kept`: seconds until the name of an erased account is anybody's. `clock` gives ms since the epoch.

    Every method raises Unavailable where something is left to do: repeat it.
    """

    users: Users
    sessions: Sessions
    revocations: Revocations
    name_kept: int
    clock: Callable[[], int]

    def erase(self, user: User) -> None:
        """Erase an account that is active."""
        self.users.erase(user, next_version(user, self.clock()))
        self.finish(Erased(user.user_id, user.username))

    def finish(self, erased: Erased) -> None:
        """Do what is left of an erasure. The gateways are told whatever else fails: it closes a door of its own."""
        now = self.clock()
        try:
            self._clear(erased, now)
        finally:
            self.revocations.all_ended(erased.user_id, now)
        logs.info("erased", user=str(erased.user_id))

    def _clear(self, erased: Erased, now: int) -> None:
        self.sessions.end_every(erased.user_id, now)
        if erased.username:
            self.users.give_back(erased.username, erased.user_id, self.name_kept)
            self.users.forget_name(erased.user_id, now)

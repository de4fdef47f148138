"""The rules of accounts: signing up, signing in, changing the password and the profile, erasing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from user_auth import logs, passwords, usernames
from user_auth.erasures import Erasures
from user_auth.errors import Code, Refused
from user_auth.models import Credentials, Erasure, Me, PasswordChange, ProfileChange, Registered, Registration, Tokens
from user_auth.revocations import Revocations
from user_auth.signins import Caller, Signins
from user_auth.users import User, Users, next_version

_NOBODY = UUID(int=0)
_NO_NAME = "-"
"""Too short for anybody to have it."""


@dataclass(frozen=True)
class Accounts:
    """`clock` gives ms since the epoch. Every method raises Unavailable where a store does not answer."""

    users: Users
    signins: Signins
    revocations: Revocations
    erasures: Erasures
    clock: Callable[[], int]

    def register(self, wish: Registration) -> Registered:
        """A new account. Raises Refused `username_taken`.

        The account is written before its name is claimed: a crash in between leaves a row that nobody can find, never
        a name that leads nowhere.
        """
        if owner := self.users.owner(wish.username):
            self._give_back_at_last(owner)
            raise _taken()
        user = self._new(wish)
        self.users.add(user)
        if self.users.claim(user.username, user.user_id) != user.user_id:
            self.users.discard(user)
            raise _taken()
        logs.info("registered", user=str(user.user_id))
        return Registered(user_id=str(user.user_id), username=user.username)

    def _give_back_at_last(self, owner: UUID) -> None:
        """A name stays taken for ever if its owner's erasure broke off before that, and nobody repeated it."""
        erased = self.users.erased(owner)
        if erased is not None and erased.username:
            self.erasures.finish(erased)

    def _new(self, wish: Registration) -> User:
        now = self.clock()
        return User(
            user_id=uuid4(), username=wish.username, display_name=wish.display_name, bio="",
            password_hash=passwords.make_hash(wish.password), version=now, created_at=now,
        )  # fmt: skip

    def login(self, credentials: Credentials) -> Tokens:
        """A new session. Raises Refused `bad_credentials`: one answer, as slow, whichever of the two is wrong.

        A name that nobody has costs the same reads and the same hash as one that somebody has.
        """
        name = usernames.normalise(credentials.username)
        owner = self.users.owner(name or _NO_NAME)
        user = self.users.find(owner or _NOBODY)
        if not passwords.matches(user.password_hash if user else None, credentials.password) or user is None:
            raise Refused(Code.BAD_CREDENTIALS, "The username or the password is wrong.")
        return self.signins.start(user, credentials.device)

    def change_password(self, caller: Caller, change: PasswordChange) -> Tokens:
        """A new password: all other sessions end, this one goes on with new tokens.

        Raises Refused `bad_credentials`, or Unavailable `revocation_delayed`: then the new password is in force, but
        this session has no tokens for it and has to sign in again.
        """
        if not passwords.matches(caller.user.password_hash, change.old):
            raise Refused(Code.BAD_CREDENTIALS, "The old password is wrong.")
        now = self.clock()
        user = replace(caller.user, version=next_version(caller.user, now))
        made = passwords.make_hash(change.new)
        with self.revocations.all_ended_after(user.user_id, now, but=caller.session.session_id):
            self.users.set_password(user.user_id, made, user.version)
            return self.signins.keep_only(replace(caller, user=user), now)

    def change_profile(self, user: User, change: ProfileChange) -> Me:
        """The profile after the change. Fields that were not sent stay."""
        if change.model_fields_set:
            now, user = self.clock(), replace(user, **change.model_dump(exclude_unset=True))
            self.users.set_profile(user, now)
            self.revocations.changed(user, now)
        return profile(user)

    def erase(self, caller: Caller, proof: Erasure) -> None:
        """The account is gone for good. Raises Refused `bad_credentials`; Unavailable: `finish_erasing`."""
        if not passwords.matches(caller.user.password_hash, proof.password):
            raise Refused(Code.BAD_CREDENTIALS, "The password is wrong.")
        self.erasures.erase(caller.user)

    def finish_erasing(self, user_id: UUID) -> bool:
        """Do again what may be left of an erasure; False where the account is not erased."""
        erased = self.users.erased(user_id)
        if erased is not None:
            self.erasures.finish(erased)
        return erased is not None


def profile(user: User) -> Me:
    """What a user sees of itself."""
    return Me(
        user_id=str(user.user_id), username=user.username, display_name=user.display_name, bio=user.bio,
        created_at=user.created_at,
    )  # fmt: skip


def _taken() -> Refused:
    return Refused(Code.USERNAME_TAKEN, "Somebody has this username: choose another.")

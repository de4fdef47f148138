"""Passwords: which are accepted, and how they are kept (argon2id)."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from user_auth import metrics

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST: Final = 8
LONGEST: Final = 128
_LONGEST_TYPED: Final = 4 * LONGEST
"""NFC makes one character of four at most."""


def normalise(typed: str) -> str:
    """NFC, as RFC 8265 has it: keyboards compose characters differently, but case and width are the user's choice.

    What is too long however it is composed stays as it was typed, and is nobody's: a pile of marks is sorted, by as
    many steps as its length squared.
    """
    return unicodedata.normalize("NFC", typed) if len(typed) <= _LONGEST_TYPED else typed


def fault(password: str) -> str | None:
    """Why this normalised password is not accepted, as a stable word, or None."""
    if len(password) < SHORTEST:
        return "password_too_short"
    if len(password) > LONGEST:
        return "password_too_long"
    return "password_common" if password.casefold() in _common() else None


def make_hash(password: str) -> str:
    """The argon2id hash to keep. Takes about 25 ms and 19 MiB."""
    with metrics.hashing():
        return _hasher().hash(password)


def matches(kept: str | None, typed: str) -> bool:
    """Whether the typed password is the one kept. `None`, nobody's hash, takes as long as a wrong password."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        hasher, expected = _hasher(), kept or _nobodys()
        with metrics.hashing():
            return hasher.verify(expected, normalise(typed)) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _hasher() -> PasswordHasher:
    """OWASP's second choice of argon2id: 19 MiB, two passes, one lane. Eight at once need 152 MiB."""
    from argon2 import PasswordHasher, Type

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)


@cache
def _nobodys() -> str:
    """A hash of the current parameters that fits no password anybody has typed."""
    from secrets import token_urlsafe

    return make_hash(token_urlsafe(32))


@cache
def _common() -> frozenset[str]:
    lines = resources.files(__package__).joinpath("common_passwords.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))

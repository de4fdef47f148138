"""Limits against guessing and flooding, shared by all instances through Redis as long as it can count."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from user_auth import logs, metrics
from user_auth.counters import Counters
from user_auth.errors import TooMany, Unavailable
from user_auth.memory import Count, Memory
from user_auth.settings import Limit

KNOWN: Final = 30 * 24 * 3600
"""Seconds for which an address is one at which the owner was."""


class Limits:
    """Counts attempts before they are worked on, so that many at once cannot slip through.

    Where Redis does not answer, or its memory is full, this instance counts `here`, for itself and from zero, with a
    warning in the log.

    A limit on an account lets anybody keep its owner from signing in for as long as they guess; so from an address at
    which the owner signed in within a month, tries are counted apart. Sessions that are signed in go on, and no guesser
    gets further. Where Redis does not tell whose address it is, tries from each are counted apart: an outage must not
    lock out those who know their password, and argon2 still bounds guesses from many addresses to some tens a second.
    """

    def __init__(self, memory: Memory, here: Counters, limits: Mapping[str, Limit]) -> None:
        self._memory = memory
        self._here = here
        self._limits = limits

    def admit(self, subjects: Mapping[str, str]) -> None:
        """Count an attempt of each subject by limit's name. Raises TooMany where one is over its limit."""
        active = [(name, subject, self._limits[name]) for name, subject in subjects.items() if name in self._limits]
        if not active:
            return
        counts = self._count([(name, subject, limit.seconds) for name, subject, limit in active])
        pairs = zip(counts, active, strict=True)
        waits = [(name, count.ends_in) for count, (name, _, limit) in pairs if count.attempts > limit.count]
        if waits:
            for name, _ in waits:
                metrics.LIMITED.add(name)
            logs.info("limited", limits=",".join(name for name, _ in waits))
            raise TooMany(max(-(-wait // 1000) for _, wait in waits))

    def _count(self, windows: Sequence[tuple[str, str, int]]) -> Sequence[Count]:
        try:
            return self._memory.count(windows)
        except Unavailable:
            logs.warning("limits_not_shared", limits=",".join(name for name, _, _ in windows))
            return self._here.count(windows)

    def of_login(self, account: str, address: str) -> Mapping[str, str]:
        """The counter of a sign-in to this account from this address."""
        if "login-known" not in self._limits:
            return {"login-account": account}
        place = _place(account, address)
        try:
            apart = self._memory.knows_place(place)
        except Unavailable:
            apart = True
        return {"login-known": place} if apart else {"login-account": account}

    def signed_in(self, account: str, address: str) -> None:
        """The owner is at this address: they know the password."""
        if "login-known" not in self._limits:
            return
        try:
            self._memory.remember_place(_place(account, address), KNOWN)
        except Unavailable:
            logs.warning("place_not_remembered")


def _place(account: str, address: str) -> str:
    """Nobody who reads Redis learns at once from where somebody signs in."""
    return hashlib.sha256(f"{account} {address}".encode()).hexdigest()[:32]

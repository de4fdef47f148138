"""Limits against guessing and flooding, shared by all instances through Redis."""

from __future__ import annotations

from collections.abc import Mapping

from user_auth import logs
from user_auth.errors import TooMany, Unavailable
from user_auth.memory import Memory
from user_auth.settings import Limit


class Limits:
    """Counts attempts before they are worked on, so that many at once cannot slip through.

    Without Redis it lets everybody pass, with a warning in the log: an outage must not lock out those who know their
    password, and argon2 still bounds guessing to some tens a second. A limit on an account lets anybody keep its owner
    from signing in for a minute at a time; sessions that are signed in go on, and no guesser gets further.
    """

    def __init__(self, memory: Memory, limits: Mapping[str, Limit]) -> None:
        self._memory = memory
        self._limits = limits

    def admit(self, subjects: Mapping[str, str]) -> None:
        """Count an attempt of each subject by limit's name. Raises TooMany where one is over its limit."""
        active = [(name, subject, self._limits[name]) for name, subject in subjects.items() if name in self._limits]
        if not active:
            return
        try:
            counts = self._memory.count([(name, subject, limit.seconds) for name, subject, limit in active])
        except Unavailable:
            logs.warning("limits_not_counted", limits=",".join(subjects))
            return
        pairs = zip(counts, active, strict=True)
        waits = [(name, count.ends_in) for count, (name, _, limit) in pairs if count.attempts > limit.count]
        if waits:
            logs.info("limited", limits=",".join(name for name, _ in waits))
            raise TooMany(max(-(-wait // 1000) for _, wait in waits))

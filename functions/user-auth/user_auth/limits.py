"""Limits against guessing and flooding, shared by all instances through Redis."""

from __future__ import annotations

import ipaddress
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


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Who to count: the socket's peer, or what the outermost trusted proxy saw.

    `forwarded_for` is X-Forwarded-For: each proxy appends its own peer, so only the last `trusted_proxies` entries
    were written by ours. Fewer entries than that, or no address there: the peer. An IPv6 client counts as its /64,
    as one customer has all of it.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    claimed = hops[-trusted_proxies] if 0 < trusted_proxies <= len(hops) else peer
    return _network(claimed) or _network(peer) or "unknown"


def _network(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))

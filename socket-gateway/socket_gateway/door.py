"""Who may come in: how many sockets of one address, and how many that have not shown a good token yet."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Protocol

from pulsar_data.addresses import client_address
from pulsar_data.errors import Disconnect
from socket_gateway.settings import Settings


class Guest(Protocol):
    """A socket that has been accepted."""

    def close(self, reason: Disconnect) -> None:
        """End it. Once is enough: a second call does nothing."""


class Door:
    """Counts who is here; closes whom it will not have.

    A socket that is silent costs its owner nothing, so there is a bound on them. Who came first has had the most time
    to show a token, and goes first: under a flood newcomers still have as long as it takes to fill the room.
    """

    def __init__(self, settings: Settings) -> None:
        self._limits = settings.limits
        self._header = settings.address_header
        self._proxies = settings.trusted_proxies
        self._addresses: dict[Guest, str] = {}
        self._sockets: Counter[str] = Counter()
        self._newcomers: OrderedDict[Guest, float] = OrderedDict()

    def address(self, peer: str, headers: Mapping[str, str]) -> str:
        """Whom a handshake counts for: as our edge names it, or our proxies do, or else the peer. See settings."""
        if self._header:
            return client_address(peer, headers.get(self._header, ""), 1)
        return client_address(peer, headers.get("x-forwarded-for", ""), self._proxies)

    def enter(self, guest: Guest, address: str) -> None:
        """Count a socket, until `leave`. It, or another, is closed where there is one too many."""
        self._addresses[guest] = address
        self._sockets[address] += 1
        if 0 < self._limits.address_connections < self._sockets[address]:
            guest.close(Disconnect.CONNECTION_LIMIT)
            return
        now = time.monotonic()
        if len(self._newcomers) >= self._limits.newcomers and not self._make_room(now):
            guest.close(Disconnect.TOO_MANY_REQUESTS)
            return
        self._newcomers[guest] = now

    def _make_room(self, now: float) -> bool:
        oldest, came = next(iter(self._newcomers.items()))
        if now - came < self._limits.newcomer:
            return False
        oldest.close(Disconnect.STALE)
        self.known(oldest)
        return True

    def known(self, guest: Guest) -> None:
        """It has shown a good token, or is closed: a newcomer no longer."""
        self._newcomers.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        """It is gone."""
        self.known(guest)
        address = self._addresses.pop(guest)
        self._sockets[address] -= 1
        if not self._sockets[address]:
            del self._sockets[address]

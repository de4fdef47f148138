"""What all clients together have not taken yet. Each may owe a little; of many, that is all the memory there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog

from pulsar_data.model import UserId

log = structlog.get_logger()

LITTLE: Final = 64 * 1024
"""Bytes up to which nobody owes anything."""
LOOK: Final = 0.25
"""Seconds between two looks at those who do."""


class Debtor(Protocol):
    """A connection."""

    @property
    def user(self) -> UserId:
        """Whose."""

    @property
    def unsent(self) -> int:
        """Bytes that it has not taken yet."""

    def cut(self) -> None:
        """End it now, whatever it has not taken."""


class Later(Protocol):
    """Something like loop.call_later."""

    def __call__(self, seconds: float, call: Callable[..., object], *args: Any) -> object:
        """Call once, later."""


class Debts:
    """Where all owe more than `most` bytes, those users are cut off who owe the most. `kernel`: bytes that the kernel
    holds of a connection besides, at most. All of it belongs to the event loop.
    """

    def __init__(self, most: int, kernel: int, later: Later) -> None:
        self._most = most
        self._kernel = 2 * kernel  # it counts its own bookkeeping
        self._later = later
        self._owing: dict[Debtor, None] = {}

    def owes(self, debtor: Debtor) -> None:
        """A connection has not taken more than LITTLE."""
        if not self._owing:
            self._later(LOOK, self._look)
        self._owing[debtor] = None

    def _look(self) -> None:
        users: defaultdict[UserId, dict[Debtor, int]] = defaultdict(dict)
        for debtor in list(self._owing):
            if (unsent := debtor.unsent) > LITTLE:
                users[debtor.user][debtor] = unsent + self._kernel
            else:
                del self._owing[debtor]
        self._collect({user: (sum(debts.values()), list(debts)) for user, debts in users.items()})
        if self._owing:
            self._later(LOOK, self._look)

    def _collect(self, users: dict[UserId, tuple[int, list[Debtor]]]) -> None:
        left = sum(owed for owed, _ in users.values())
        for user, (owed, debtors) in sorted(users.items(), key=lambda item: item[1][0], reverse=True):
            if left <= self._most:
                return
            log.warning("owes_too_much", user=user, sockets=len(debtors), bytes=owed)
            for debtor in debtors:
                debtor.cut()
                self._owing.pop(debtor, None)
            left -= owed

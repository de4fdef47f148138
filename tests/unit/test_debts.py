"""Who is cut off when all clients together have not taken too much: those users who owe the most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pulsar_data.model import UserId
from socket_gateway.debts import LITTLE, Debts

MIB = 1024 * 1024
KERNEL = 256 * 1024


class Slow:
    """A connection that owes so much."""

    def __init__(self, user: str, unsent: int) -> None:
        self.user = UserId(user)
        self.unsent = unsent
        self.gone = False

    def cut(self) -> None:
        """Owes nothing any more."""
        self.unsent, self.gone = 0, True


class Clock:
    """Calls at once what is to be called later, when it is told to."""

    def __init__(self) -> None:
        self.calls: list[Callable[..., object]] = []

    def later(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        """See loop.call_later."""
        self.calls.append(lambda: call(*args) if seconds else None)

    def passes(self) -> None:
        """What was to be called is."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def test_the_users_who_owe_most_are_cut_off_until_the_rest_fits() -> None:
    """By all their connections together: fifty sockets that owe a little each are fifty times a little."""
    clock = Clock()
    debts = Debts(40 * MIB, KERNEL, clock.later)
    many = [Slow("mallory", MIB) for _ in range(50)]
    few = [Slow(name, 2 * MIB) for name in ("ada", "grace")]
    for debtor in (*few, *many):
        debts.owes(debtor)
    clock.passes()
    assert all(debtor.gone for debtor in many)
    assert not any(debtor.gone for debtor in few)


def test_the_kernel_s_share_counts() -> None:
    """Where hardly anything waits with us it is most of what a sleeper costs."""
    clock = Clock()
    debts = Debts(10 * MIB, KERNEL, clock.later)
    sleepers = [Slow("mallory", 2 * LITTLE) for _ in range(20)]
    for sleeper in sleepers:
        debts.owes(sleeper)
    clock.passes()
    assert all(sleeper.gone for sleeper in sleepers)


def test_who_has_paid_is_forgotten_and_nobody_is_looked_for_then() -> None:
    """And who owes again is seen again."""
    clock = Clock()
    debts = Debts(MIB, KERNEL, clock.later)
    debtor = Slow("ada", 2 * LITTLE)
    debts.owes(debtor)
    clock.passes()
    assert clock.calls
    debtor.unsent = LITTLE
    clock.passes()
    assert not clock.calls
    debtor.unsent = 10 * MIB
    debts.owes(debtor)
    clock.passes()
    assert debtor.gone

"""Openings that cannot be kept whole: each is told once, whatever another one's end has brought with it."""

from __future__ import annotations

from socket_gateway.backlog import Backlog


def test_a_failure_that_ends_another_opening_is_no_trouble() -> None:
    """As where a socket of two pending subscriptions is closed for what it owes, when the first is answered."""
    backlog, told = Backlog(10), list[str]()

    def first_fails() -> None:
        told.append("first")
        backlog.end(second)

    backlog.begin(first_fails)
    second = backlog.begin(lambda: told.append("second"))
    backlog.begin(lambda: told.append("third"))
    backlog.fail_all()
    assert told == ["first", "third"]
    assert backlog.openings == 0

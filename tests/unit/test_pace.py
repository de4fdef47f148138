"""How fast a user may ask: a bucket that leaks, and is shut when it runs over."""

from __future__ import annotations

import pytest

from socket_gateway import pace
from socket_gateway.pace import DISTRUSTED, DISTRUSTED_MOST, LONGEST, SPREAD, Pace

RATE, BURST, PAUSE = 10.0, 200, 5.0


@pytest.fixture
def _no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are as long as they are meant to be."""
    monkeypatch.setattr(pace, "SPREAD", 0.0)


def _let_in_after(of: Pace, now: float) -> float:
    """Seconds from then until there are no more drops than may be at once."""
    return (of.level(now, RATE) - of.burst(now, BURST)[0]) / RATE


def test_drops_run_out_in_time() -> None:
    one = Pace(100.0)
    assert [one.count(100.0, RATE) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert round(one.level(100.2, RATE), 6) == 1.0
    assert round(one.count(100.2, RATE, 4), 6) == 5.0
    assert one.level(500.0, RATE) == 0.0


@pytest.mark.usefixtures("_no_chance")
def test_each_further_pause_is_twice_as_long_up_to_a_bound() -> None:
    one, now = Pace(0.0), 0.0
    lengths = []
    for _ in range(8):
        one.shut(now, RATE, BURST, PAUSE)
        lengths.append(round(_let_in_after(one, now) / PAUSE))
        now += lengths[-1] * PAUSE
    assert lengths == [1, 2, 4, 8, 16, 32, LONGEST, LONGEST]


@pytest.mark.usefixtures("_no_chance")
def test_other_connections_that_are_closed_with_it_make_the_pause_no_longer() -> None:
    one = Pace(0.0)
    for moment in (0.0, 0.1, PAUSE - 0.1):
        one.shut(moment, RATE, BURST, PAUSE)
        assert abs(_let_in_after(one, 0.0) - PAUSE) < 0.001 + moment


@pytest.mark.usefixtures("_no_chance")
def test_who_has_behaved_for_as_long_as_the_pause_was_begins_anew() -> None:
    one = Pace(0.0)
    one.shut(0.0, RATE, BURST, PAUSE)
    again = 2 * PAUSE - 0.1
    assert one.burst(again, BURST)[0] == DISTRUSTED
    one.shut(again, RATE, BURST, PAUSE)  # that was too early
    assert abs(_let_in_after(one, again) - 2 * PAUSE) < 0.001
    trusted = again + 4 * PAUSE + 0.1
    assert one.burst(trusted, BURST) == (BURST, 2 * BURST)
    one.shut(trusted, RATE, BURST, PAUSE)
    assert abs(_let_in_after(one, trusted) - PAUSE) < 0.001


def test_it_is_remembered_until_it_is_trusted() -> None:
    one = Pace(0.0)
    one.count(0.0, RATE, 10)
    assert one.differs(0.0, RATE) == 1.0
    one.shut(0.0, RATE, BURST, PAUSE)
    end = one.differs(0.0, RATE)
    assert one.burst(end - 0.1, BURST)[0] == DISTRUSTED
    assert one.burst(end + 0.001, BURST)[0] == BURST
    assert one.level(end, RATE) == 0.0


def test_who_is_not_trusted_has_no_larger_burst_than_anybody() -> None:
    one = Pace(0.0)
    one.shut(0.0, RATE, BURST, PAUSE)
    assert [one.burst(0.0, most)[0] for most in (1, DISTRUSTED, BURST)] == [1, DISTRUSTED, DISTRUSTED]
    assert [one.burst(0.0, most)[1] for most in (1, DISTRUSTED, BURST)] == [2, 2 * DISTRUSTED, DISTRUSTED_MOST]


def test_who_is_not_trusted_may_ask_for_all_their_rooms_again_and_again_and_gets_them() -> None:
    """A hundred at once, as a client does; it asks for those that were refused later, as SDKs do, ever later."""
    rate, burst = 100.0, 400
    one = Pace(0.0)
    one.shut(0.0, rate, burst, PAUSE)
    now = _until_let_in(one, rate, burst)
    one.count(now, rate, 8)
    wanted, pause = 100, 0.25
    while wanted:
        for _ in range(wanted):
            allowed, most = one.burst(now, burst)
            level = one.count(now, rate)
            assert level <= most
            wanted -= level <= allowed
        now += pause
        pause = min(2 * pause, 20.0)


def test_a_pause_that_its_drops_make_longer_is_followed_by_as_long_a_distrust() -> None:
    rate, burst = 10.0, 400
    one = Pace(0.0)
    one.count(0.0, rate, 2 * burst + 1)
    one.shut(0.0, rate, burst, PAUSE)
    now = _until_let_in(one, rate, burst)
    assert now > 2 * PAUSE * (1 + SPREAD)
    assert one.burst(now, burst)[0] == DISTRUSTED
    assert one.burst(2 * now - 0.1, burst)[0] == DISTRUSTED
    assert one.burst(2 * now + 0.1, burst)[0] == burst


def _until_let_in(of: Pace, rate: float, burst: int) -> float:
    """When somebody who was shut at 0 is let in."""
    return (of.level(0.0, rate) - of.burst(0.0, burst)[0]) / rate


def test_who_were_shut_together_are_not_let_in_together() -> None:
    ends = []
    for _ in range(100):
        one = Pace(0.0)
        one.shut(0.0, RATE, BURST, PAUSE)
        ends.append(_let_in_after(one, 0.0))
    assert min(ends) >= PAUSE - 0.001
    assert max(ends) <= PAUSE * (1 + SPREAD) + 0.001
    assert max(ends) - min(ends) > PAUSE * SPREAD / 2


def test_a_pause_never_lets_out_more_than_would_have_run_out() -> None:
    one = Pace(0.0)
    for _ in range(3 * BURST):
        level = one.count(0.0, RATE)
    one.shut(0.0, RATE, BURST, 0.0)
    assert one.level(0.0, RATE) == level


def test_who_is_refused_for_what_is_unanswered_runs_over_however_slowly_it_is_served() -> None:
    """Fewer a second than run out, all of them refused."""
    one, now = Pace(0.0), 0.0
    level, count = 0.0, 0
    while level <= 2 * BURST:
        now += 1 / RATE + 0.01  # slower than what runs out
        level = one.count(now, RATE)
        one.unheard()
        count += 1
    assert count <= BURST + 2

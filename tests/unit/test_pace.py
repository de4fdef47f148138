"""How fast a user may ask: a bucket that leaks, and is shut when it runs over."""

from __future__ import annotations

from socket_gateway.pace import LONGEST, Pace

RATE, BURST, PAUSE = 10.0, 20, 5.0


def _let_in_after(pace: Pace, now: float) -> float:
    """Seconds from then until no more than a burst is left."""
    return (pace.level(now, RATE) - BURST) / RATE


def test_drops_run_out_in_time() -> None:
    pace = Pace(100.0)
    assert [pace.count(100.0, RATE) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert round(pace.level(100.2, RATE), 6) == 1.0
    assert round(pace.count(100.2, RATE, 4), 6) == 5.0
    assert pace.level(500.0, RATE) == 0.0


def test_each_further_pause_is_twice_as_long_up_to_a_bound() -> None:
    pace, now = Pace(0.0), 0.0
    lengths = []
    for _ in range(8):
        pace.shut(now, RATE, BURST, PAUSE)
        lengths.append(round(_let_in_after(pace, now) / PAUSE))
        now += lengths[-1] * PAUSE
    assert lengths == [1, 2, 4, 8, 16, 32, LONGEST, LONGEST]


def test_other_connections_that_are_closed_with_it_make_the_pause_no_longer() -> None:
    pace = Pace(0.0)
    for moment in (0.0, 0.1, PAUSE - 0.1):
        pace.shut(moment, RATE, BURST, PAUSE)
        assert abs(_let_in_after(pace, 0.0) - PAUSE) < 0.001 + moment


def test_who_has_once_kept_still_begins_anew() -> None:
    pace = Pace(0.0)
    pace.shut(0.0, RATE, BURST, PAUSE)
    pace.shut(PAUSE, RATE, BURST, PAUSE)
    dry = 3 * PAUSE + BURST / RATE
    pace.count(dry, RATE)
    pace.shut(dry, RATE, BURST, PAUSE)
    assert abs(_let_in_after(pace, dry) - PAUSE) < 0.001


def test_a_pause_never_lets_out_more_than_would_have_run_out() -> None:
    pace = Pace(0.0)
    for _ in range(3 * BURST):
        level = pace.count(0.0, RATE)
    pace.shut(0.0, RATE, BURST, 0.0)
    assert pace.level(0.0, RATE) == level


def test_who_is_refused_for_what_is_unanswered_runs_over_however_slowly_it_is_served() -> None:
    """Fewer a second than run out, all of them refused."""
    pace, now = Pace(0.0), 0.0
    level, count = 0.0, 0
    while level <= 2 * BURST:
        now += 1 / RATE + 0.01  # slower than what runs out
        level = pace.count(now, RATE)
        pace.unheard()
        count += 1
    assert count <= BURST + 2

"""The clock that all share."""

from __future__ import annotations

import time

from pulsar_data.clock import Clock


def test_before_redis_was_heard_it_is_ones_own() -> None:
    """Within a tenth of a second."""
    assert abs(Clock().now() - time.time() * 1000) < 100


def test_it_goes_on_from_what_redis_said() -> None:
    """Whatever this machine's clock says; the answer was true halfway between question and answer."""
    clock, now = Clock(), time.monotonic()
    clock.heard(1_000_000.0, now - 0.4, now)
    told = clock.now()
    assert 1_000_000_200 <= told <= 1_000_000_000 + (time.monotonic() - now + 0.2) * 1000
    assert clock.now() >= told


def test_the_later_of_two_clocks_counts_where_nobody_may_be_refused() -> None:
    """Redis' where it is ahead, one's own where Redis' is behind."""
    clock, now = Clock(), time.monotonic()
    clock.heard(time.time() + 3600, now, now)
    assert clock.latest() > time.time() * 1000 + 3_500_000
    clock.heard(time.time() - 3600, now, now)
    assert clock.latest() > time.time() * 1000 - 1000

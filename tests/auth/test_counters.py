"""Counting attempts: in Redis for all instances, or in one that is left alone with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from user_auth.counters import Counters
from user_auth.errors import TooMany
from user_auth.limits import Limits
from user_auth.memory import Count, Memory
from user_auth.settings import Limit

from .function import free_port
from .own_redis import OwnRedis, own_redis

Counting = Callable[[Sequence[tuple[str, str, int]]], Sequence[Count]]
LIMITS = {name: Limit(count=3, seconds=60) for name in ("login-account", "login-known", "login-address")}


class Clock:
    """Seconds, which a test can move."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    """One that a test may fill."""
    with own_redis(tmp_path_factory.mktemp("redis")) as own:
        yield own


@pytest.fixture(params=["redis", "here"])
def count(request: pytest.FixtureRequest) -> Counting:
    """Both ways to count."""
    if request.param == "here":
        return Counters(time.monotonic).count
    own: OwnRedis = request.getfixturevalue("redis")
    return Memory(own.url).count


def attempts(counts: Sequence[Count]) -> list[int]:
    """Without when they end."""
    return [count.attempts for count in counts]


def limits(url: str) -> Limits:
    """Three of each, counted in that Redis as long as it can."""
    return Limits(Memory(url), Counters(time.monotonic), LIMITS)


def admitted(limits: Limits, account: str, address: str) -> bool:
    """Whether a sign-in may go on."""
    try:
        limits.admit(limits.of_login(account, address))
    except TooMany:
        return False
    return True


def test_attempts_are_counted_by_limit_and_subject(count: Counting) -> None:
    assert attempts(count([("one", "ada", 60), ("other", "ada", 60)])) == [1, 1]
    assert attempts(count([("one", "ada", 60), ("one", "bob", 60)])) == [2, 1]
    assert attempts(count([("one", "ada", 60), ("one", "ada", 60)])) == [3, 4]
    [last] = count([("other", "ada", 60)])
    assert last.attempts == 2 and 50_000 < last.ends_in <= 60_000


def test_a_window_ends_as_long_after_its_first_attempt_as_it_is_long() -> None:
    clock = Clock()
    counters = Counters(clock)
    assert counters.count([("short", "ada", 10), ("long", "ada", 60)]) == [Count(1, 10_000), Count(1, 60_000)]
    clock.now += 9
    assert counters.count([("short", "ada", 10), ("short", "bob", 10)]) == [Count(2, 1_000), Count(1, 10_000)]
    clock.now += 1
    counts = counters.count([("short", "ada", 10), ("short", "bob", 10), ("long", "ada", 60)])
    assert counts == [Count(1, 10_000), Count(2, 9_000), Count(2, 50_000)]


def test_however_many_subjects_strangers_choose_the_last_are_kept() -> None:
    """What is full of one limit leaves the windows of others alone."""
    counters = Counters(Clock(), most=3)
    counters.count([("other", "ada", 60)])
    for subject in ("ada", "bob", "cy", "ada", "di"):
        counters.count([("one", subject, 60)])
    assert attempts(counters.count([("one", "bob", 60), ("one", "di", 60), ("other", "ada", 60)])) == [2, 2, 2]
    assert attempts(counters.count([("one", "ada", 60)])) == [1]


def test_none_of_many_at_once_slips_through() -> None:
    counters = Counters(time.monotonic)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: attempts(counters.count([("one", "ada", 60)]))[0], range(800)))
    assert sorted(counts) == list(range(1, 801))


def test_a_redis_that_is_full_turns_no_limit_off(redis: OwnRedis) -> None:
    """An account's tries are counted whoever makes them; from where the owner was, apart."""
    own = limits(redis.url)
    account = uuid4().hex
    own.signed_in(account, "home")
    redis.fill()
    assert [admitted(own, account, f"address {number}") for number in range(5)] == [True] * 3 + [False] * 2
    assert [admitted(own, account, "home") for _ in range(5)] == [True] * 3 + [False] * 2


def test_without_redis_tries_are_counted_for_each_address_apart() -> None:
    """Nobody knows where the owner was: who guesses elsewhere must not lock them out."""
    own = limits(f"redis://127.0.0.1:{free_port()}/0")
    account = uuid4().hex
    for address in ("home", "elsewhere"):
        assert [admitted(own, account, address) for _ in range(5)] == [True] * 3 + [False] * 2


def test_who_is_over_a_limit_counted_here_is_told_when_it_ends() -> None:
    own = limits(f"redis://127.0.0.1:{free_port()}/0")
    for _ in range(3):
        own.admit({"login-address": "elsewhere"})
    with pytest.raises(TooMany) as refused:
        own.admit({"login-address": "elsewhere"})
    assert 50 <= int(refused.value.headers["Retry-After"]) <= 60


def test_a_redis_that_has_room_again_counts_on(redis: OwnRedis) -> None:
    own = limits(redis.url)
    own.admit({"login-address": "somewhere"})
    redis.fill()
    own.admit({"login-address": "somewhere"})
    redis.empty()
    for _ in range(2):
        own.admit({"login-address": "somewhere"})
    with pytest.raises(TooMany):
        own.admit({"login-address": "somewhere"})

"""Of what instances died: known to all of them, for a while, and only if Redis is there."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import pytest
import redis.exceptions

from chat_functions.batching import fewer
from chat_functions.deaths import BURIALS, Deaths
from chat_functions.redis_link import RedisLink, RedisUnavailable

pytestmark = pytest.mark.anyio
ATTEMPTS = 3


def function() -> str:
    """One that nobody has seen die."""
    return f"f{secrets.token_hex(4)}"


async def begun(name: str, url: str) -> Deaths:
    """What an instance that starts now knows."""
    deaths = Deaths(name, url, ATTEMPTS)
    await deaths.recall()
    return deaths


async def test_where_nobody_died_everything_is_worked_together(redis_url: str) -> None:
    """Whatever was noted of another function."""
    (await begun(function(), redis_url)).note(["a"])
    deaths = await begun(function(), redis_url)
    assert await deaths.counts(["a", "b"]) == [None, None]
    assert not await deaths.may_bury(ATTEMPTS)


async def test_what_was_there_when_one_died_is_known_to_who_starts_then(redis_url: str) -> None:
    """Who was there with others has no death to its name; who was alone has one each time."""
    name = function()
    (await begun(name, redis_url)).note(["a", "b"])
    assert await (await begun(name, redis_url)).counts(["a", "b", "c"]) == [0, 0, None]
    for times in range(1, ATTEMPTS + 1):
        deaths = await begun(name, redis_url)
        assert not await deaths.may_bury(times - 1)
        deaths.alone = "b"
        deaths.note(["a", "b"])  # it was not: nobody knows of which
        deaths.note(["b"])
        assert await (await begun(name, redis_url)).counts(["a", "b", "c"]) == [0, times, None]
    assert await (await begun(name, redis_url)).may_bury(ATTEMPTS)


async def test_what_takes_too_long_at_once_is_done_by_fewer_at_a_time() -> None:
    """Each once, in order, however few that are."""
    asked: list[int] = []

    async def attempt(some: Sequence[int]) -> list[int]:
        asked.append(len(some))
        if len(some) > 3:
            raise RedisUnavailable("it takes too long")
        return [10 * one for one in some]

    assert await fewer(list(range(20)), attempt, (RedisUnavailable,)) == list(range(0, 200, 10))
    assert asked == [20, 10, 5, *[2] * 10]


async def test_only_so_many_are_buried_in_an_hour(redis_url: str) -> None:
    """Where all messages are deadly it is not they."""
    name = function()
    (await begun(name, redis_url)).note(["a"])
    deaths = await begun(name, redis_url)
    assert [await deaths.may_bury(ATTEMPTS) for _ in range(BURIALS + 1)] == [True] * BURIALS + [False]


async def test_without_redis_nothing_is_counted_and_nothing_buried() -> None:
    """And nobody dies of that."""
    name, nowhere = function(), "redis://127.0.0.1:1/0"
    deaths = await begun(name, nowhere)
    deaths.note(["a"])
    assert await deaths.counts(["a"]) == [None]
    assert not await deaths.may_bury(ATTEMPTS)


@pytest.mark.parametrize("body", ["local none = nil; return none.field", "error('no')"])
async def test_a_script_that_breaks_is_a_defect_and_not_a_redis_that_is_away(redis_url: str, body: str) -> None:
    """It would be called again for ever."""
    link = RedisLink(redis_url, ())
    with pytest.raises(redis.exceptions.ResponseError):
        await link.execute(lambda pipe, _: pipe.eval(body, 0))
    with pytest.raises(redis.exceptions.DataError):
        await link.execute(lambda pipe, _: pipe.set("key", object()))  # type: ignore[arg-type]
    with pytest.raises(RedisUnavailable):
        await link.execute(
            lambda pipe, _: pipe.eval("redis.call('set', 'a', '1'); return redis.call('hget', 'a', 'b')", 0)
        )
    await link.close()

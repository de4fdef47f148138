"""Leases on copies of Cassandra's truth: a copy never holds what was changed after it was read."""

from __future__ import annotations

import uuid

import pytest

from chat_functions.numbering import FILL, LEASE
from chat_functions.redis_link import RedisLink, call

pytestmark = pytest.mark.anyio


class Copy:
    """One copy, by its scripts."""

    def __init__(self, link: RedisLink) -> None:
        self.link = link
        self.key = f"token-version:{uuid.uuid4()}"

    async def lease(self, name: str, keep: int = 0) -> list[str]:
        """Take a lease, or get the copy."""
        args: list[str | int] = [name, 10_000, keep]
        answer = await self.link.execute(lambda pipe, run: call(pipe, LEASE, [self.key], [run, *args]))
        fields: list[str] = answer[0]
        return fields

    async def fill(self, name: str, *pairs: str) -> bool:
        """Fill it under that lease."""
        answer = await self.link.execute(lambda pipe, run: call(pipe, FILL, [self.key], [run, name, 10_000, *pairs]))
        return bool(answer[0])


async def test_a_copy_is_filled_once_and_then_read(redis: RedisLink) -> None:
    """The usual way."""
    copy = Copy(redis)
    assert await copy.lease("a") == ["lease", "a"]
    assert await copy.fill("a", "ver", "3")
    answer = await copy.lease("b")
    fields = dict(zip(answer[1::2], answer[2::2], strict=True))
    assert (answer[0], fields["ver"]) == ("filled", "3")


async def test_a_change_between_read_and_fill_voids_the_fill(redis: RedisLink) -> None:
    """A logout deletes the copy: the lease is gone, and what was read before the logout is not believed."""
    copy = Copy(redis)
    await copy.lease("a")
    await redis.execute(lambda pipe, _: pipe.delete(copy.key))
    assert not await copy.fill("a", "ver", "3")
    assert await copy.lease("b") == ["lease", "b"]


async def test_readers_at_once_share_a_lease(redis: RedisLink) -> None:
    """However many devices come at once, each is served at its first try; the first to fill decides."""
    copy = Copy(redis)
    assert await copy.lease("a") == await copy.lease("b") == ["lease", "a"]
    assert await copy.fill("a", "ver", "1")
    assert await copy.fill("a", "ver", "1", "late", "1")
    answer = await copy.lease("c")
    assert answer[0] == "filled"
    assert "late" not in answer


async def test_what_others_add_while_an_inbox_is_read_stays(redis: RedisLink) -> None:
    """A room that was entered between read and fill is in the inbox."""
    copy = Copy(redis)
    await redis.execute(lambda pipe, _: pipe.hset(copy.key, "before", "1"))
    await copy.lease("a", keep=1)
    await redis.execute(lambda pipe, _: pipe.hset(copy.key, "between", "1"))
    assert await copy.fill("a", "stored", "1")
    answer = await copy.lease("b", keep=1)
    assert {"before", "between", "stored"} <= set(answer[1::2])


async def test_a_copy_of_another_run_is_none(redis: RedisLink) -> None:
    """An older Redis came back: what it says of sessions may have been revoked since."""
    copy = Copy(redis)
    await copy.lease("a")
    await copy.fill("a", "ver", "3")
    await redis.execute(lambda pipe, _: pipe.hset(copy.key, "~run", "another"))
    assert await copy.lease("b") == ["lease", "b"]

"""The link to Redis where the way is long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from chat_functions.numbering import SCRIPTS
from chat_functions.redis_link import RedisLink, RedisUnavailable

pytestmark = pytest.mark.anyio
DELAY = 0.2
"""Seconds, each way."""


@pytest.fixture
async def far_redis(redis_url: str, anyio_backend: str) -> AsyncIterator[str]:
    """The same Redis, behind a long cable."""
    near = urlsplit(redis_url)
    loop = asyncio.get_running_loop()

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            loop.call_later(DELAY, target.write, data)
        loop.call_later(DELAY, target.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * DELAY)  # SYN and SYN-ACK
        there, back = await asyncio.open_connection(near.hostname, near.port)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    cable = await asyncio.start_server(connected, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{cable.sockets[0].getsockname()[1]}/0"
    cable.close()


async def test_a_long_way_leaves_time_to_connect(far_redis: str) -> None:
    """With all scripts loaded, within the time that one call may take. That takes 1.6 s of two: where a machine stands
    still for the rest, it is no matter of ours, and tried again.
    """
    answers: list[object] = []
    for _ in range(3):
        link = RedisLink(far_redis, SCRIPTS)
        with suppress(RedisUnavailable):
            answers = await link.execute(lambda pipe, _: pipe.ping())
        await link.close()
        if answers:
            break
    assert answers == [True]


async def test_a_connection_to_another_redis_than_the_one_met_last_is_not_used(redis_url: str) -> None:
    """Both may live where an address has moved: what the old one numbers is void in the new one."""
    link = RedisLink(redis_url, SCRIPTS)
    (before,) = await link.execute(lambda pipe, _: pipe.client_id())
    assert await link.execute(lambda pipe, _: pipe.client_id()) == [before]
    link._run_id = "of another"
    (after,) = await link.execute(lambda pipe, run_id: pipe.client_id() if run_id != "of another" else None)
    assert after != before
    assert await link.execute(lambda pipe, _: pipe.client_id()) == [after]
    await link.close()


async def test_a_demoted_redis_is_left_for_whoever_has_its_address(redis_url: str) -> None:
    """It refuses for good what a new connection may be able to do."""
    link = RedisLink(redis_url, SCRIPTS)
    (before,) = await link.execute(lambda pipe, _: pipe.client_id())
    await link.execute(lambda pipe, _: pipe.replicaof("127.0.0.1", "1"))
    with pytest.raises(RedisUnavailable):
        await link.execute(lambda pipe, _: pipe.set("x", "y"))
    (after,) = await link.execute(lambda pipe, _: pipe.client_id())
    assert after != before
    await link.execute(lambda pipe, _: pipe.replicaof("NO", "ONE"))
    await link.execute(lambda pipe, _: pipe.set("x", "y"))
    await link.close()

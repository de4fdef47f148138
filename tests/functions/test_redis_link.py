"""The link to Redis where the way is long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from chat_functions.numbering import SCRIPTS
from chat_functions.redis_link import RedisLink

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
    """With all scripts loaded, within the time that one call may take."""
    link = RedisLink(far_redis, SCRIPTS)
    assert await link.execute(lambda pipe, _: pipe.ping()) == [True]
    await link.close()

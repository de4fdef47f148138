"""A Redis of these tests' own: its scripts are the rules under test, and its run_id must be able to change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chat_functions.numbering import SCRIPTS
from chat_functions.redis_link import RedisLink
from chattifier import processes
from chattifier.parts.redis import server
from tests.functions.room import wait_for_redis
from tests.running_stack import free_ports


@pytest.fixture
def anyio_backend() -> str:
    """asyncio, as the functions run on."""
    return "asyncio"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis server, for the time of the session."""
    folder: Path = tmp_path_factory.mktemp("redis")
    port = free_ports(1)
    argv = (str(server()), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no")
    process = processes.start(argv, processes.environment(), folder, folder / "redis.log")
    url = f"redis://127.0.0.1:{port}/0"
    try:
        wait_for_redis(url)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
async def redis(redis_url: str, anyio_backend: str) -> AsyncIterator[RedisLink]:
    """A link with all scripts loaded."""
    link = RedisLink(redis_url, SCRIPTS, timeout=30)  # a machine that stands still is not what is tested
    yield link
    await link.close()

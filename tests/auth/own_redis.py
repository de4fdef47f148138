"""A Redis of a test's own, whose memory can be full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import ConnectionError as Lost
from redis import Redis

from chattifier import processes
from chattifier.parts.redis import server

from .function import free_port


@dataclass(frozen=True)
class OwnRedis:
    """Where it listens."""

    url: str

    def fill(self) -> None:
        """From now on it reads and deletes, and writes nothing (`noeviction`)."""
        self._may_take(1)

    def empty(self) -> None:
        """There is room again; what was in it still is."""
        self._may_take(0)

    def _may_take(self, size: int) -> None:
        """Bytes; 0 is any number."""
        with Redis.from_url(self.url) as connection:
            connection.config_set("maxmemory", size)


@contextmanager
def own_redis(folder: Path) -> Iterator[OwnRedis]:
    """An empty one, that is gone when the block ends."""
    port = free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--maxmemory-policy", "noeviction")
    process = processes.start([str(server()), *options], processes.environment(), folder, folder / "log")
    try:
        own = OwnRedis(f"redis://127.0.0.1:{port}/0")
        _await(own)
        yield own
    finally:
        process.terminate()
        process.wait(timeout=20)


def _await(own: OwnRedis) -> None:
    deadline = time.monotonic() + 30
    with Redis.from_url(own.url) as connection:
        while True:
            try:
                connection.ping()
                return
            except Lost:
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.02)

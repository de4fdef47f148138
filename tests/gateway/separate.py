"""A gateway in a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.running_stack import free_ports

WAIT = 60.0


@dataclass(frozen=True)
class Separate:
    """Where it listens, and its process."""

    url: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    async def stopped(self) -> int:
        """Told to leave, as an orchestrator does it. Its exit code."""
        self.process.terminate()
        async with asyncio.timeout(WAIT):
            return await self.process.wait()


@asynccontextmanager
async def separate(stack: Any, jwks: Path, **variables: str) -> AsyncIterator[Separate]:
    """Ready when it is yielded; killed afterwards, if that has not happened. `variables`: more of its environment."""
    port = free_ports(1)
    environment = os.environ | {
        "CHATTIFIER_REDIS_URL": stack.redis.url,
        "CHATTIFIER_PULSAR_URL": stack.pulsar.service_url,
        "CHATTIFIER_JWKS_FILE": str(jwks),
        "CHATTIFIER_PORT": str(port),
        **variables,
    }
    with tempfile.NamedTemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "socket_gateway", env=environment, stdout=log, stderr=log
        )
        try:
            await _ready(f"http://127.0.0.1:{port}/readyz")
            yield Separate(f"ws://127.0.0.1:{port}/connection/websocket", process, Path(log.name))
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _ready(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(WAIT):
        while True:
            try:
                if (await http.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.1)

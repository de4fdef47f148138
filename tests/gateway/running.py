"""A gateway of the test's own, inside the test: real sockets, the real stack, its own limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socket_gateway import server
from socket_gateway.gateway import Gateway
from socket_gateway.settings import Limits, Settings

WAIT = 30.0


@dataclass(frozen=True)
class Running:
    """A gateway that accepts connections."""

    gateway: Gateway
    url: str
    http: str
    stop: asyncio.Event
    done: asyncio.Task[None]


@asynccontextmanager
async def running(stack: Any, jwks: Path, limits: Limits | None = None, **settings: Any) -> AsyncIterator[Running]:
    """Ready when it is yielded; stopped cleanly afterwards, if the test has not done that. `settings`: further ones."""
    chosen = Settings(
        redis_url=stack.redis.url,
        pulsar_url=stack.pulsar.service_url,
        jwks_file=jwks,
        limits=limits or Limits(drain=0.2),
        **settings,
    )
    listening = server.bind("127.0.0.1", 0)
    place = f"127.0.0.1:{listening.getsockname()[1]}"
    gateway, stop = Gateway(chosen), asyncio.Event()
    done = asyncio.create_task(server.serve(gateway, chosen, listening, stop))
    try:
        async with asyncio.timeout(WAIT):
            while not gateway.ready and not done.done():  # noqa: ASYNC110 - readiness is a state, not an event
                await asyncio.sleep(0.02)
        yield Running(gateway, f"ws://{place}/connection/websocket", f"http://{place}", stop, done)
    finally:
        stop.set()
        await asyncio.wait_for(done, WAIT)

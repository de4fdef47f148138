"""A collector in this process, and parts that export to it beside those of the stack that do not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.people import Person, sign_up
from tests.faults.functions import Functions
from tests.gateway.separate import Separate, separate
from tests.running_stack import Stack
from tests.traces.collector import Collector, collecting

RECORDED = ("chat-router", "message-store", "archive")


@dataclass(frozen=True)
class Recorded:
    """Two gateways and the functions, all of which export to the collector."""

    collector: Collector
    gateways: tuple[Separate, Separate]


def fresh_traceparent(*, sampled: bool = True) -> str:
    """What a client that traces by itself hands over."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{'01' if sampled else '00'}"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The clients are asyncio's."""
    return "asyncio"


@pytest.fixture(scope="module")
async def people(stack: Stack, anyio_backend: str) -> tuple[Person, Person]:
    """Ada and Bob."""
    ada, bob = await sign_up(stack.auth, 2)
    return ada, bob


@pytest.fixture(scope="module")
def jwks(stack: Stack) -> Path:
    """The public keys of the stack."""
    return stack.data / "keys" / "jwks.json"


@asynccontextmanager
async def _together(contexts: Sequence[AbstractAsyncContextManager[None]]) -> AsyncIterator[None]:
    """All of them, entered and left at the same time."""
    await asyncio.gather(*(context.__aenter__() for context in contexts))
    try:
        yield
    finally:
        await asyncio.gather(*(context.__aexit__(None, None, None) for context in contexts))


@pytest.fixture(scope="module")
async def recorded(stack: Stack, jwks: Path, anyio_backend: str) -> AsyncIterator[Recorded]:
    """The functions are started anew, and again afterwards: they are those of the stack."""
    functions = Functions(stack)
    async with AsyncExitStack() as running:
        collector = running.enter_context(collecting())
        running.push_async_callback(functions.close)
        exporting = {"traces": collector.variables}
        await running.enter_async_context(_together([functions.settings(name, exporting) for name in RECORDED]))
        first, second = [
            await running.enter_async_context(separate(stack, jwks, **collector.variables)) for _ in range(2)
        ]
        yield Recorded(collector, (first, second))

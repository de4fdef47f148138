"""One who asks and asks: refused, then closed, then not let in."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from tests.gateway.client import Wire, closed_at_once, session
from tests.gateway.people import sign_up
from tests.running_stack import Stack

from .comparison import SOCKETS, compare
from .conftest import Noted

ALLOWED = 1.15
FLOOD = 1_000_000
"""Commands that it sends at least."""
pytestmark = [pytest.mark.stack, pytest.mark.anyio]


@pytest.mark.usefixtures("unharmed")
async def test_a_thousand_commands_a_second_are_refused_and_then_closed(stack: Stack, noted: Noted) -> None:
    """111 while there is hope, then 3013; who comes back at once is closed before anything is done for them."""
    person = await asyncio.to_thread(sign_up, stack.auth)
    async with session(stack.gateways[0], person.token) as (wire, _):
        refused, code = await _flooded(wire)
        assert refused > 0
        assert code == 3013
    noted("1,000 commands a second from one socket", "111, then 3013")
    assert await closed_at_once(stack.gateways[0], person.token) == 3013
    noted("the same person, back at once", 3013)
    async with session(stack.gateways[-1], person.token) as (wire, _):
        assert (await wire.ask(ping={}))["ping"] == {}


@pytest.mark.quiet
@pytest.mark.skipif("CHATTIFIER_FLOOD_PHASES" not in os.environ, reason="takes minutes: scripts/attacks runs it")
@pytest.mark.timeout(1800, func_only=True)
@pytest.mark.parametrize("kind", ["one", "many"])
async def test_a_flood_from_fifty_sockets_is_not_felt_by_others(stack: Stack, noted: Noted, kind: str) -> None:
    """Of one account, or one each: in most stretches of ten seconds the p99 of others is as it is without the flood.

    Not in all: who was let in again asks for a moment before they are closed again.
    """
    figures = await compare(stack, kind, int(os.environ["CHATTIFIER_FLOOD_PHASES"]))
    print(figures)
    assert figures.done["closed for it"] > SOCKETS
    assert figures.done["sent"] > FLOOD, "there was no flood"
    assert figures.refused == 0
    assert figures.times <= ALLOWED, str(figures)
    noted(f"1,000 commands a second from each of fifty sockets, {kind}", f"others' p99 times {figures.times:.2f}")


async def _flooded(wire: Wire) -> tuple[int, int]:
    """How many were refused before the end, and the code of the close."""
    replies: list[asyncio.Future[Any]] = []
    async with asyncio.timeout(60):
        while not wire.over:
            try:
                replies += await wire.send(*[{"ping": {}} for _ in range(100)])
            except Exception:  # noqa: BLE001  the library has several names for a socket that has gone
                break
            await asyncio.sleep(0.1)
    code = await wire.closed()
    answers = [reply.result() for reply in replies if reply.done() and not reply.cancelled()]
    return sum(answer.get("error", {}).get("code") == 111 for answer in answers), code

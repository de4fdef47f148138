"""Waiting for something to write to Redis."""

from __future__ import annotations

import asyncio

import pytest

from pulsar_data.model import RoomId
from socket_gateway.backlog import Backlog
from socket_gateway.interest import Interest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("turns", range(3))
async def test_who_waits_can_be_cancelled_in_the_moment_in_which_it_is_woken(turns: int) -> None:
    """A gateway that stops does both at once: what did not end then would keep it from ever ending."""
    interest = Interest(Backlog(1000))
    waiting = asyncio.create_task(interest.wait(30))
    await asyncio.sleep(0)
    interest.want(RoomId("room"))
    for _ in range(turns):
        await asyncio.sleep(0)
    was_over = not waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled() or was_over

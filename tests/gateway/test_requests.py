"""Questions that wait for an answer, and how many of them a connection may have."""

from __future__ import annotations

import asyncio

import pytest

from pulsar_data.errors import ErrorCode
from socket_gateway.requests import FEW, Kind, Requests

MOST = 128
pytestmark = pytest.mark.anyio


class _Clock:
    def observe(self, amount: float) -> None:
        """Nobody counts here."""


@pytest.fixture
async def requests() -> Requests:
    """Without any."""
    kinds: tuple[Kind, ...] = ("command", "query", "opening")
    return Requests(asyncio.get_running_loop(), dict.fromkeys(kinds, _Clock()))


def _asked(requests: Requests, connections: int) -> list[int]:
    """How many each of so many connections gets in, taking turns until all are refused."""
    counts = [0] * connections
    while any(count < requests.share(MOST) for count in counts):
        for number, count in enumerate(counts):
            if count < requests.share(MOST):
                requests.expect(requests.number(), "command", lambda answer: None, 60, ErrorCode.INTERNAL)
                counts[number] += 1
    return counts


async def test_one_alone_may_have_as_many_as_is_said(requests: Requests) -> None:
    assert _asked(requests, 1) == [MOST]


async def test_fifty_share_what_two_would_have(requests: Requests) -> None:
    """And nobody much more than another."""
    counts = _asked(requests, 50)
    assert sum(counts) <= 2 * MOST
    assert max(counts) - min(counts) <= 1
    assert min(counts) > FEW


async def test_a_few_are_always_let_in(requests: Requests) -> None:
    assert min(_asked(requests, 1000)) == FEW
    assert requests.share(3) == 3


async def test_who_is_answered_makes_room(requests: Requests) -> None:
    _asked(requests, 50)
    full = requests.share(MOST)
    for number in range(1, len(requests) + 1):
        requests.drop(number)
    assert full < requests.share(MOST) == MOST

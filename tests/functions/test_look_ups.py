"""What chat-router asks Cassandra while it is away: nobody waits for an answer that nobody needs, or for long."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from chat_functions import look_ups
from chat_functions.look_ups import READ_USER, LookUps
from chat_functions.tables import TablesUnavailable

pytestmark = pytest.mark.anyio


class Away:
    """Tables that were never reached; or, once `there`, refuse every question."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.asked = 0

    async def connected(self) -> None:
        """Never, for now."""
        await self.there.wait()

    def bind(self, cql: str, values: object) -> tuple[str, object]:
        """A statement."""
        return cql, values

    async def execute(self, statements: list[object]) -> list[Any]:
        """Refused."""
        self.asked += len(statements)
        return [TablesUnavailable("away")] * len(statements)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are short."""
    monkeypatch.setattr(look_ups, "LATE", 1.0)
    monkeypatch.setattr(look_ups, "SHORT", 0.1)


def _of(tables: Away) -> LookUps:
    real: Any = tables
    live: Any = None
    return LookUps(real, live)


async def test_who_asks_nothing_does_not_wait() -> None:
    """A room whose commands need no rows goes on, also if Cassandra was never there since we started."""
    async with asyncio.timeout(0.5):
        assert await _of(Away())._ask([]) == []
        await _of(Away()).keys([])
        await _of(Away()).messages([])


@pytest.mark.parametrize("there", [False, True])
async def test_the_first_waits_as_long_as_anybody_waits_and_the_next_ones_not(*, there: bool) -> None:
    """Cassandra is away, and every room in which somebody is added would stand still as long as that, each time."""
    tables = Away()
    if there:
        tables.there.set()
    asks, began = _of(tables), time.monotonic()
    assert await asks._ask([(READ_USER, ["x"])]) == [None]
    assert 0.9 < time.monotonic() - began < 3.0
    began = time.monotonic()
    assert await asks._ask([(READ_USER, ["x"]), (READ_USER, ["y"])]) == [None, None]
    assert time.monotonic() - began < 0.6


async def test_so_many_questions_are_under_way_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all commands together: whoever names a thousand people is not to be in everybody's way."""
    under_way, most = 0, 0

    class Slow(Away):
        async def execute(self, statements: list[object]) -> list[Any]:
            nonlocal under_way, most
            under_way += len(statements)
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= len(statements)
            return [[]] * len(statements)

    tables = Slow()
    tables.there.set()
    asks = _of(tables)
    many = [(READ_USER, [number]) for number in range(1000)]
    assert await asyncio.gather(*(asks._ask(many) for _ in range(20))) == [[[]] * 1000] * 20
    assert most == look_ups.IN_ALL * look_ups.AT_ONCE

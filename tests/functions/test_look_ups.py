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
async def test_the_first_waits_as_long_as_anybody_waits_and_the_next_ones_not(
    monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    """Cassandra is away, and every room in which somebody is added would stand still as long as that, each time."""
    monkeypatch.setattr(look_ups, "LATE", 3.0)
    tables = Away()
    if there:
        tables.there.set()
    asks, began = _of(tables), time.monotonic()
    assert await asks._ask([(READ_USER, ["x"])]) == [None]
    assert 2.9 < time.monotonic() - began < 9.0
    began = time.monotonic()
    assert await asks._ask([(READ_USER, ["x"]), (READ_USER, ["y"])]) == [None, None]
    assert time.monotonic() - began < 2.0


class Slow(Away):
    """Answers with nothing, in a while. `most`: so many questions of large calls at the same time; `together`: so
    many calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.there.set()
        self.most = self.under_way = 0
        self.together = self.calls = 0

    async def execute(self, statements: list[object]) -> list[Any]:
        """In a while."""
        large = len(statements) == look_ups.AT_ONCE
        self.under_way += len(statements) * large
        self.most = max(self.most, self.under_way)
        self.calls += 1
        self.together = max(self.together, self.calls)
        await asyncio.sleep(0.01)
        self.calls -= 1
        self.under_way -= len(statements) * large
        return [[]] * len(statements)


async def test_who_names_thousands_waits_for_turns() -> None:
    """Of all such commands together."""
    tables = Slow()
    asks, many = _of(tables), [(READ_USER, [number]) for number in range(640)]
    answers = await asyncio.gather(*(asks._ask(many) for _ in range(20)))
    assert [answer for answer in answers if answer != [[]] * 640] == []
    assert tables.most == look_ups.LARGE * look_ups.AT_ONCE


async def test_rooms_that_ask_one_thing_each_do_not_wait_for_each_other() -> None:
    """As all do behind a loss of Redis."""
    tables = Slow()
    asks = _of(tables)
    await asyncio.gather(*(asks._ask([(READ_USER, [number])]) for number in range(300)))
    assert tables.together == 300


async def test_one_that_is_late_does_not_make_cassandra_away() -> None:
    """Others were told: whoever asks next is as patient as ever."""

    class Partly(Away):
        async def execute(self, statements: list[object]) -> list[Any]:
            return [[], *([TablesUnavailable("slow")] * (len(statements) - 1))]

    tables = Partly()
    tables.there.set()
    asks = _of(tables)
    assert await asks._ask([(READ_USER, ["x"]), (READ_USER, ["y"]), (READ_USER, ["z"])]) != []
    began = time.monotonic()
    tables.there.clear()
    await asks._ask([(READ_USER, ["x"])])
    assert time.monotonic() - began > 0.9

"""Fixtures of the fault tests: the functions of the stack, chance with a seed to repeat it, the table of figures."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from tests.clients.chat_client import PATIENCE
from tests.faults import network, scenario
from tests.faults.crowd import Doors
from tests.faults.figures import Run, page, table
from tests.faults.functions import Functions
from tests.faults.judge import Verdict
from tests.faults.network import Network, Unavailable
from tests.faults.scenario import Trouble
from tests.running_stack import Stack

Record = Callable[[str, int, Verdict], None]


class Trial(Protocol):
    """Strike while everybody talks: nothing may be lost, doubled, or late by more than `within` seconds."""

    def __call__(
        self, name: str, faults: int, trouble: Trouble, within: float = PATIENCE, *, doors: Doors | None = None
    ) -> Awaitable[None]:
        """`name` and `faults` are for the table. `doors`: where people come in, if not at all gateways by turns.

        `within`: where nothing shorter is promised, as long as a client asks for its ack.
        """


def times(in_ci: int) -> int:
    """How often a fault strikes: as often as CHATTIFIER_FAULT_TIMES says, else as often as CI has time for."""
    return int(os.environ.get("CHATTIFIER_FAULT_TIMES") or in_ci)


def between(deaths: int) -> tuple[float, float]:
    """Seconds from one death of a part to the next, at least and at most.

    Who dies again within ten seconds is started again ever later. Of a few deaths that is not felt.
    """
    return (2.0, 4.0) if deaths <= 3 else (10.0, 13.0)


def whole_parts(within: int = 3600) -> list[pytest.MarkDecorator]:
    """The marks of tests that want all the machine, and leave a Pulsar behind that has just started. In seconds."""
    mark = pytest.mark
    return [mark.stack, mark.quiet, mark.kills_parts, mark.anyio, mark.timeout(within, func_only=True)]


def unavailable(reason: str) -> NoReturn:
    """This machine cannot do that: in CI that is a reason to skip; who asks for all faults shall know it."""
    if "CHATTIFIER_FAULT_TIMES" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


on_demand = pytest.mark.skipif(
    "CHATTIFIER_FAULT_TIMES" not in os.environ, reason="takes minutes a fault: scripts/faults runs it"
)
"""For what takes too long for CI."""


RUNS = pytest.StashKey[list[Run]]()


@pytest.fixture
def anyio_backend() -> str:
    """Clients and strikes run on asyncio."""
    return "asyncio"


@pytest.fixture
def chance() -> random.Random:
    """Random moments. CHATTIFIER_FAULT_SEED repeats those of an earlier run; it is printed with a failure."""
    seed = int(os.environ.get("CHATTIFIER_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CHATTIFIER_FAULT_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
async def functions(stack: Stack) -> AsyncIterator[Functions]:
    """The functions, all consuming."""
    functions = Functions(stack)
    for function in ("chat-router", "message-store"):
        await functions.until_all_consume(function)
    yield functions
    await functions.close()


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Iterator[Record]:
    """Put a run into the table: its name, how many faults it had, the verdict.

    And on the page that CHATTIFIER_FAULT_PAGE names, at once: what runs for hours may be ended before its end.
    """
    runs = request.config.stash.setdefault(RUNS, [])

    def record(name: str, faults: int, verdict: Verdict) -> None:
        runs.append(Run(name, faults, verdict))
        if path := os.environ.get("CHATTIFIER_FAULT_PAGE"):
            written = Path(path)
            written.write_text(page(runs, written.read_text() if written.exists() else ""))

    yield record


@pytest.fixture
def trial(stack: Stack, functions: Functions, chance: random.Random, record: Record) -> Trial:
    """One that is judged, and put into the table."""

    async def trial(
        name: str, faults: int, trouble: Trouble, within: float = PATIENCE, *, doors: Doors | None = None
    ) -> None:
        async def run() -> Verdict:
            return await scenario.run(stack, functions, chance, trouble, within=within, again=True, doors=doors)

        verdict = await scenario.in_time(run)
        record(name, faults, verdict)
        assert not verdict.findings, str(verdict)

    return trial


@pytest.fixture
def broken(stack: Stack) -> Iterator[Network]:
    """The network between the parts, to be broken."""
    try:
        with network.network(stack) as ours:
            yield ours
    except Unavailable as reason:
        unavailable(f"the network cannot be broken here: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    if runs := config.stash.get(RUNS, []):
        terminalreporter.section("fault runs")
        for line in table([run.cells for run in runs]):
            terminalreporter.write_line(line)

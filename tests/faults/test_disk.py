"""Full disks, of Pulsar and of Cassandra, under load: nothing is acked that is not kept; with room again all recovers.

On a stack of its own, whose Pulsar and Cassandra have a disk of their own each (a tmpfs). Nobody helps: what ends is
started again by its supervisor.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.clients import chat_client
from tests.clients.journal import Acked
from tests.clients.waiting import until
from tests.faults.conftest import Trial, on_demand, times, unavailable, whole_parts
from tests.faults.crowd import Crowd
from tests.faults.functions import INPUTS, Functions
from tests.faults.readers import reading
from tests.running_stack import Stack, attached, started

pytestmark = whole_parts(within=7200)
DISKS = {"pulsar": "2g", "cassandra": "600m"}
"""How large they are."""
SPARE = 0.05
"""The part of Pulsar's that is left when it is full: what its storage may still write when it takes nothing more, and
what is written in the second in which it sees that (`parts/pulsar.py`).

Without that room BookKeeper 4.17 ends, and may mark as stored what it has only tried to store (DbLedgerStorage, which
takes an empty write cache for a flushed one). That loses acks.
"""
SILENT_WITHIN = 120.0
"""Seconds until nothing more is acked on a full disk: there is room left in files that are there already."""
SILENCE = 5.0
"""Seconds without any ack."""
STAYS_FULL = 5.0
PATIENCE = 600.0
"""Seconds that everybody sends one message again and again."""
TALKS_WITHIN = 180.0
"""Seconds from when there is room again until there is talk in every room: a part may wait 30 s to be started again."""
STORED_WITHIN = 300.0
CAUGHT_UP = 200
"""Messages: two seconds of talk, as it goes on meanwhile."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with small disks; CHATTIFIER_TEST_STACK is taken if it has some."""
    running = Path(os.environ.get("CHATTIFIER_TEST_STACK", "/nowhere")).absolute()
    if all((running / part).is_mount() for part in DISKS):
        yield attached(running)
        return
    if os.geteuid() != 0:
        unavailable("a small disk is mounted for this, which only root may do")
    data = tmp_path_factory.mktemp("small-disks")
    with ExitStack() as mounts:
        for part, size in DISKS.items():
            mounts.enter_context(_disk(data / part, size))
        yield mounts.enter_context(started(data))


@contextmanager
def _disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "chattifier-small-disk", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mount.returncode != 0:
        unavailable(f"no small disk can be mounted here: {mount.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(disk: Path, spare: float = 0.0) -> Iterator[None]:
    """This part of the disk is left to its owner, or not a byte, until the end."""
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            found = os.statvfs(disk)
            left = int((found.f_bfree - found.f_blocks * spare) * found.f_frsize)
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(left, 1))
            if not spare:
                with pytest.raises(OSError):
                    while True:
                        file.seek(0, os.SEEK_END)
                        file.write(bytes(4096))
        yield
    finally:
        filler.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk is full for minutes: whoever sends does not give up before there is room again."""
    monkeypatch.setattr(chat_client, "PATIENCE", PATIENCE)


@on_demand
async def test_a_full_disk_under_pulsar_loses_nothing_that_was_acked(
    stack: Stack, functions: Functions, chance: random.Random, trial: Trial
) -> None:
    """Nobody is acked any more; everybody sends again; with room again everything is there once."""
    faults = times(1)

    async def fills(crowd: Crowd) -> None:
        for _ in range(faults):
            await asyncio.sleep(chance.uniform(1.0, 3.0))
            with full(stack.data / "pulsar", SPARE):
                await _until_silent(crowd)
                await asyncio.sleep(chance.uniform(0.0, STAYS_FULL))
            await crowd.until_all_talk(TALKS_WITHIN)
            for function in INPUTS:  # it has not died, unless its storage ended; then all have to come back
                await functions.until_all_consume(function)
            await crowd.until_settled()
            await functions.until_left("message-store", CAUGHT_UP, STORED_WITHIN)
        await asyncio.sleep(2.0)

    await trial("disk full under pulsar", faults, fills)


@on_demand
async def test_a_full_disk_under_cassandra_stops_nobody_from_talking(
    stack: Stack, functions: Functions, chance: random.Random, trial: Trial
) -> None:
    """Delivery goes on; reads are answered or refused for the moment; what was not stored is, once there is room."""
    faults = times(1)

    async def fills(crowd: Crowd) -> None:
        async with reading(crowd, 5):
            for _ in range(faults):
                await asyncio.sleep(chance.uniform(1.0, 3.0))
                with full(stack.data / "cassandra"):
                    await _until_nothing_is_stored(functions)
                    await crowd.until_all_talk(30)  # without it
                    await asyncio.sleep(chance.uniform(0.0, STAYS_FULL))
                await functions.until_left("message-store", CAUGHT_UP, STORED_WITHIN)

    await trial("disk full under cassandra", faults, fills)


async def _until_silent(crowd: Crowd) -> None:
    loop = asyncio.get_running_loop()
    seen, since = -1, loop.time()

    async def silent() -> bool:
        nonlocal seen, since
        if (acks := sum(1 for journal in crowd.journals for _ in journal.of(Acked))) != seen:
            seen, since = acks, loop.time()
        return loop.time() - since >= SILENCE

    await until("nothing is acked any more", silent, SILENT_WITHIN)


async def _until_nothing_is_stored(functions: Functions) -> None:
    async def waits() -> bool:
        return await functions.backlog("message-store") > 3 * CAUGHT_UP

    await until("message-store waits", waits, SILENT_WITHIN)

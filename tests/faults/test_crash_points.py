"""Functions die between their effects, by their own hand: nothing is lost, nothing is doubled. And the judge can tell.

Everybody sends each message once only: what the gateway has published must come to an end without the client's help.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import nullcontext
from pathlib import Path

import pytest

from chattifier import package
from chattifier.package import Sources
from tests.faults import scenario
from tests.faults.conftest import Record
from tests.faults.crowd import Crowd
from tests.faults.functions import CARELESS, Functions
from tests.faults.judge import Fault, Verdict
from tests.faults.test_parts import reading
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
ROUTER = "chat-router"
STORE = "message-store"
ARCHIVE = "archive"
TALK = 12.0
"""Seconds at least."""
DEATHS = 2
AT_MOST = 60.0
"""It talks on for so many seconds until the router has died so often: chance may be slow."""
OFTEN = 0.005
"""The part of all batches at which it dies: about one each four seconds an instance."""
OFTEN_STORING = 0.02
"""The same for message-store, which works fewer and fuller ones."""
OFTEN_READING = 0.005
"""The part of all queries at which archive dies."""
READERS = 10


async def _run(
    stack: Stack, functions: Functions, chance: random.Random, name: str = ROUTER, readers: int = 0
) -> tuple[Verdict, int]:
    """The verdict, and how often the function died. So many read meanwhile, and none waits in vain."""
    deaths = 0

    async def talk(crowd: Crowd) -> None:
        nonlocal deaths
        started = asyncio.get_running_loop().time()
        async with reading(crowd, readers) if readers else nullcontext():
            while deaths < DEATHS and asyncio.get_running_loop().time() < started + AT_MOST:
                await asyncio.sleep(TALK)
                deaths = await functions.restarts(name)

    return await scenario.run(stack, functions, chance, talk, within=None, again=False), deaths


@pytest.mark.parametrize("point", ["numbered", "published", "committed", "delivered"])
async def test_a_router_that_dies_between_two_effects_costs_nobody_anything(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, point: str
) -> None:
    """Whatever it has done before it dies, the command comes again under its numbers, and is answered."""
    async with functions.settings(ROUTER, {"crash_at": {point: OFTEN}}):
        verdict, deaths = await _run(stack, functions, chance)
    record(f"router dies when {point}", deaths, verdict)
    assert deaths, "the router did not die: nothing was tested"
    assert not verdict.findings, str(verdict)


@pytest.mark.parametrize("point", ["read", "written", "told"])
async def test_a_store_that_dies_between_two_effects_costs_nobody_anything(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, point: str
) -> None:
    """Before it has written anything, when all is written, when inboxes know: what comes again is written again."""
    async with functions.settings(STORE, {"crash_at": {point: OFTEN_STORING}}):
        verdict, deaths = await _run(stack, functions, chance, STORE)
    record(f"message-store dies when {point}", deaths, verdict)
    assert deaths, "message-store did not die: nothing was tested"
    assert not verdict.findings, str(verdict)


@pytest.mark.parametrize("point", ["asked", "read", "answered"])
async def test_an_archive_that_dies_around_an_answer_leaves_no_reader_waiting(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, point: str
) -> None:
    """Before it reads, before it answers, before it acks: readers are answered, once more or by being told to try."""
    async with functions.settings(ARCHIVE, {"crash_at": {point: OFTEN_READING}}):
        verdict, deaths = await _run(stack, functions, chance, ARCHIVE, READERS)
    record(f"archive dies when {point}", deaths, verdict)
    assert deaths, "archive did not die: nothing was tested"
    assert not verdict.findings, str(verdict)


async def test_the_judge_sees_what_an_acknowledgement_too_early_costs(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, tmp_path: Path
) -> None:
    """The same on a function that acks as Pulsar does by default, when `process` returns: commands are lost."""
    archive = package.build(Sources.installed(), tmp_path).read_bytes()
    async with functions.acked_on_return(ROUTER, {"crash_at": {"published": OFTEN}}, archive):
        verdict, deaths = await _run(stack, functions, chance, CARELESS)
    record("router acks too early", deaths, verdict)
    assert deaths, "the router did not die: nothing was tested"
    assert Fault.VANISHED in verdict.faults, f"nothing was lost, so the tests above prove nothing: {verdict.summary}"

"""Functions die between their effects, by their own hand: nothing is lost, nothing is doubled. And the judge can tell.

Everybody sends each message once only: what the gateway has published must come to an end without the client's help.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

from chattifier import package
from chattifier.layout import Layout
from chattifier.package import Sources
from tests.clients.chat_client import PATIENCE
from tests.clients.people import sign_up
from tests.clients.talkers import connected, fresh_key
from tests.clients.waiting import until
from tests.faults import scenario
from tests.faults.conftest import Record, on_demand, times
from tests.faults.crowd import Crowd
from tests.faults.functions import CARELESS, Functions
from tests.faults.judge import Fault, Verdict
from tests.faults.readers import reading
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio, pytest.mark.timeout(1200, func_only=True)]
ROUTER = "chat-router"
STORE = "message-store"
ARCHIVE = "archive"
DEATH = re.compile(r'"event": "dies_for_a_test", "point": "(\w+)"')
TALK = 12.0
"""Seconds at least."""
DEATHS = times(2)
"""So many at least, of all points together."""
AT_MOST = max(180.0, 30.0 * DEATHS)
"""It talks on for so many seconds until there are as many, and one at each point: chance may be slow. Where rooms are
rebuilt side by side an instance that dies at an early point reaches no later one: two thirds die at the first two."""
OFTEN = 0.005
"""The part of all batches at which it dies: about one each four seconds an instance."""
OFTEN_STORING = 0.02
"""The same for message-store, which works fewer and fuller ones."""
OFTEN_READING = 0.005
"""The part of all queries at which archive dies."""
OFTEN_REBUILDING = 0.05
"""The part of all rebuilds, of which each loss of Redis costs one a room."""
READERS = 10
LISTED_WITHIN = 30.0
"""Seconds until somebody's list of rooms has what they were put into: whoever writes it dies now and then."""
Points = tuple[str, ...]
Meanwhile = Callable[[Crowd], AbstractAsyncContextManager[object]]
"""What goes on besides, until the function has died often enough."""


def _points(*points: str) -> pytest.MarkDecorator:
    """At any of them, in one run; on demand also at each by itself."""
    each = [pytest.param((point,), marks=on_demand, id=point) for point in points]
    return pytest.mark.parametrize("points", [*each, pytest.param(points, id="any")])


def _name(function: str, points: Points) -> str:
    return f"{function} dies when {' or '.join(points)}"


def _deaths(stack: Stack, function: str) -> Counter[str]:
    """How often it has died at each point, ever."""
    paths = Layout(stack.data).function_log(function, 0).parent.glob("*.log")
    return Counter(point for path in paths for point in DEATH.findall(path.read_bytes().decode(errors="replace")))


async def _run(
    stack: Stack,
    functions: Functions,
    chance: random.Random,
    points: Points,
    name: str = ROUTER,
    *meanwhile: Meanwhile,
    again: bool = False,
) -> tuple[Verdict, int]:
    """The verdict, and how often the function died, at each point once at least."""
    deaths: Counter[str] = Counter()

    async def talk(crowd: Crowd) -> None:
        nonlocal deaths
        before, deaths = await asyncio.to_thread(_deaths, stack, name), Counter()
        started = asyncio.get_running_loop().time()
        async with AsyncExitStack() as going_on:
            for one in meanwhile:
                await going_on.enter_async_context(one(crowd))
            while not _enough(deaths, points) and asyncio.get_running_loop().time() < started + AT_MOST:
                await asyncio.sleep(TALK)
                deaths = await asyncio.to_thread(_deaths, stack, name) - before

    verdict = await scenario.in_time(lambda: scenario.run(stack, functions, chance, talk, within=PATIENCE, again=again))
    missing = [point for point in points if not deaths[point]]
    assert not missing, f"{name} did not die when {', '.join(missing)}: nothing was tested there"
    return verdict, deaths.total()


def moves(stack: Stack) -> Meanwhile:
    """Somebody comes and goes."""
    return lambda crowd: coming_and_going(stack, crowd)


def reads(crowd: Crowd) -> AbstractAsyncContextManager[object]:
    """Some read, and none in vain."""
    return reading(crowd, READERS)


def losses(stack: Stack) -> Meanwhile:
    """Redis loses everything, whenever all have got over the last time."""

    @asynccontextmanager
    async def losing(crowd: Crowd) -> AsyncIterator[None]:
        async def lose() -> None:
            async with redis.asyncio.Redis.from_url(stack.redis.url) as memory:
                while True:
                    await crowd.until_settled()
                    await crowd.until_all_talk(PATIENCE)
                    await asyncio.sleep(1.0)
                    await memory.flushall()

        async with asyncio.TaskGroup() as tasks:
            losing = tasks.create_task(lose())
            yield
            losing.cancel()

    return losing


@asynccontextmanager
async def coming_and_going(stack: Stack, crowd: Crowd) -> AsyncIterator[None]:
    """Somebody is put into every room and out again, again and again; in the end in, and then in the list of rooms."""
    (guest,) = await sign_up(stack.auth, 1)

    async def to_and_fro() -> None:
        for method in itertools.cycle(("member.add", "member.remove")):
            for owner, room in zip(crowd.clients, crowd.rooms, strict=False):
                await owner.rpc(method, {"room": room, "key": fresh_key(), "user": guest.user})
                await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as tasks:
        moving = tasks.create_task(to_and_fro())
        yield
        moving.cancel()
    for owner, room in zip(crowd.clients, crowd.rooms, strict=False):
        await owner.rpc("member.add", {"room": room, "key": fresh_key(), "user": guest.user})
    async with connected((guest, stack.gateways[0])) as (device,):  # who comes back: rooms are rebuilt all the while

        async def in_all() -> bool:
            return {room["room"] for room in (await device.rpc("room.list", {}))["rooms"]} == set(crowd.rooms)

        await until("the guest is in all rooms", in_all, LISTED_WITHIN)


def _enough(deaths: Counter[str], points: Points) -> bool:
    return deaths.total() >= DEATHS and all(deaths[point] for point in points)


@_points("numbered", "published", "committed", "delivered")
async def test_a_router_that_dies_between_two_effects_costs_nobody_anything(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, points: Points
) -> None:
    """Whatever it has done before it dies, the command comes again under its numbers, and is answered."""
    async with functions.settings(ROUTER, {"crash_at": dict.fromkeys(points, OFTEN)}):
        verdict, deaths = await _run(stack, functions, chance, points, ROUTER, moves(stack))
    record(_name("router", points), deaths, verdict)
    assert not verdict.findings, str(verdict)


@_points("read", "written", "told")
async def test_a_store_that_dies_between_two_effects_costs_nobody_anything(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, points: Points
) -> None:
    """Before it has written anything, when all is written, when inboxes know: what comes again is written again."""
    async with functions.settings(STORE, {"crash_at": dict.fromkeys(points, OFTEN_STORING)}):
        verdict, deaths = await _run(stack, functions, chance, points, STORE, moves(stack))
    record(_name(STORE, points), deaths, verdict)
    assert not verdict.findings, str(verdict)


@_points("asked", "read", "answered")
async def test_an_archive_that_dies_around_an_answer_leaves_no_reader_waiting(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, points: Points
) -> None:
    """Before it reads, before it answers, before it acks: readers are answered, once more or by being told to try."""
    async with functions.settings(ARCHIVE, {"crash_at": dict.fromkeys(points, OFTEN_READING)}):
        verdict, deaths = await _run(stack, functions, chance, points, ARCHIVE, moves(stack), reads)
    record(_name(ARCHIVE, points), deaths, verdict)
    assert not verdict.findings, str(verdict)


@pytest.mark.parametrize(
    ("function", "points"),
    [
        pytest.param(ROUTER, ("fenced", "marked", "headed", "seeded"), id=ROUTER),
        pytest.param(STORE, ("headed",), id=STORE, marks=on_demand),
    ],
)
async def test_a_rebuild_that_is_broken_off_is_gone_on_with(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, function: str, points: Points
) -> None:
    """Redis loses everything, again and again, and who brings a room back dies: another does, behind its own fence."""
    async with functions.settings(function, {"crash_at": dict.fromkeys(points, OFTEN_REBUILDING)}):
        verdict, deaths = await _run(stack, functions, chance, points, function, losses(stack), again=True)
    record(f"{function} dies in a rebuild", deaths, verdict)
    assert not verdict.findings, str(verdict)


async def test_the_judge_sees_what_an_acknowledgement_too_early_costs(
    stack: Stack, functions: Functions, chance: random.Random, record: Record, tmp_path: Path
) -> None:
    """The same on a function that acks as Pulsar does by default, when `process` returns: commands are lost."""
    archive = package.build(Sources.installed(), tmp_path).read_bytes()
    async with functions.acked_on_return(ROUTER, {"crash_at": {"published": OFTEN}}, archive):
        # Nobody comes and goes: of what the careless one loses, nobody can tell when it is answered.
        verdict, deaths = await _run(stack, functions, chance, ("published",), CARELESS)
    record("router acks too early", deaths, verdict)
    assert Fault.VANISHED in verdict.faults, f"nothing was lost, so the tests above prove nothing: {verdict.summary}"

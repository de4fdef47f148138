"""What a cluster does to pods while people talk costs nobody a message."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import yaml

from pulsar_data.topics import FUNCTIONS
from tests.clients.journal import Acked, Dropped
from tests.clients.waiting import until
from tests.cluster import system
from tests.cluster.kubernetes import await_true, kubectl, objects, pods, rendered
from tests.cluster.system import Edge
from tests.faults import stored
from tests.faults.crowd import Crowd, gathered
from tests.faults.judge import StoredRoom, judge

pytestmark = pytest.mark.anyio
ROOMS = 5
"""Of ten people each: the node's two cores also run the cluster."""
STORED_WITHIN = 120.0
MOVED_WITHIN = 300.0
Trouble = Callable[[Crowd], Awaitable[None]]


async def _judged(edge: Edge, chance: random.Random, trouble: Trouble) -> None:
    """Strike while everybody talks; then everybody is back, and nothing is lost, doubled or out of order."""
    async with gathered(edge, chance, ROOMS) as crowd:
        async with crowd.talking():
            await trouble(crowd)
            await crowd.until_settled()
            await crowd.until_all_talk(30)
        rows = await _stored(crowd)
        await crowd.until_heard(rows)
        verdict = judge(crowd.journals, rows)
        drops = [drop.code for journal in crowd.journals for drop in journal.of(Dropped)]
        print(f"{verdict.acked} acked, {len(drops)} sockets ended with {sorted(set(drops))}: {verdict.summary}")
        assert not verdict.findings, str(verdict)


async def _stored(crowd: Crowd) -> dict[str, StoredRoom]:
    """All rows, once those of all acks are there."""
    acked = {ack.key for journal in crowd.journals for ack in journal.of(Acked)}
    found: dict[str, StoredRoom] = {}
    with system.cassandra() as place:

        async def all_there() -> bool:
            found.update(await asyncio.to_thread(stored.read, place, crowd.rooms))
            return acked <= {row.key for room in found.values() for row in room.messages}

        await until("all that was acked is stored", all_there, STORED_WITHIN, every=2)
    return found


async def test_gateways_are_replaced_one_after_the_other_and_everybody_comes_back(
    edge: Edge, chance: random.Random
) -> None:
    async def roll(_crowd: Crowd) -> None:
        before = set(pods("gateway"))
        await asyncio.to_thread(kubectl, "rollout", "restart", "deployment/gateway")
        waiting = ("rollout", "status", "deployment/gateway", f"--timeout={MOVED_WITHIN:.0f}s")
        await asyncio.to_thread(kubectl, *waiting, within=MOVED_WITHIN + 10)
        assert not before & set(pods("gateway"))

    await _judged(edge, chance, roll)


async def test_a_gateway_that_is_cut_off_costs_nobody_a_message(edge: Edge, chance: random.Random) -> None:
    async def cut(_crowd: Crowd) -> None:
        victim = chance.choice(pods("gateway"))
        await asyncio.to_thread(kubectl, "delete", "pod", victim, "--force", "--grace-period=0", "--wait=false")
        await asyncio.to_thread(system.await_ready)

    await _judged(edge, chance, cut)


async def test_functions_are_updated_while_people_talk(edge: Edge, chance: random.Random) -> None:
    async def update(_crowd: Crowd) -> None:
        said = await asyncio.to_thread(_deploy, f"log_days={chance.randrange(31, 1000)}")
        assert all(f"updated {name}" in said for name in FUNCTIONS), said

    await _judged(edge, chance, update)


def _deploy(setting: str) -> str:
    """`chattifier deploy --set` in a Job like the one that set all up. What it says."""
    jobs = (one for one in _manifests() if one["kind"] == "Job")
    (job,) = (one for one in jobs if one["metadata"]["name"].startswith("functions-"))
    name = job["metadata"]["name"] = f"update-{setting.replace('=', '-').replace('_', '-')}"
    job["spec"]["template"]["spec"]["containers"][0]["args"] += ["--set", setting]
    kubectl("apply", "--filename=-", given=json.dumps(job))
    await_true(f"{name} is done", lambda: _succeeded(name), MOVED_WITHIN)
    said = kubectl("logs", f"job/{name}")
    kubectl("delete", "job", name)
    return said


def _manifests() -> list[Any]:
    return [yaml.safe_load(text) for text in rendered(system.EVALUATION).split("\n---\n")]


def _succeeded(name: str) -> bool:
    return any(job["metadata"]["name"] == name and job["status"].get("succeeded") for job in objects("jobs"))

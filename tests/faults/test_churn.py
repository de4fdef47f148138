"""People come, talk and leave, again and again: nothing of it stays behind in processes, Redis or Pulsar.

Half a minute here; CHATTIFIER_CHURN_MINUTES says how long (`scripts/faults`: thirty).
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import httpx
import psutil
import pytest
import redis.asyncio

from pulsar_data import redis_keys, topics
from tests.clients.waiting import until
from tests.faults import stored
from tests.faults.conftest import Record
from tests.faults.crowd import gathered
from tests.faults.functions import Functions
from tests.faults.judge import Verdict, judge
from tests.patient import AsyncPatient, busy_pulsar
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.quiet, pytest.mark.anyio, pytest.mark.timeout(7200, func_only=True)]
MINUTES = float(os.environ.get("CHATTIFIER_CHURN_MINUTES") or 0.5)
ROUND = 10.0
"""Minutes that the same people come and go; then others do, as tokens last a quarter of an hour."""
PARTS = ("gateway", "chat-router", "message-store", "archive", "search-index", "auth", "edge")
VISITS = 10
"""Departures a second, each followed by a return."""
DESCRIPTORS = 12
"""More open files than before, at most, per process: connections of pools that opened meanwhile."""
MEMORY = 40 * 2**20
"""Bytes more than before, at most, per process: allocators keep some of what a peak needed."""
UNDER_WAY = 10
"""Messages more than before that a subscription may have left: a gateway acks what it has done in groups."""
REST_WITHIN = 120.0
"""Seconds until all is as it was: who left without a word counts as there for 40."""
STEADY = 45.0
"""Seconds without change after which nobody is there any more who will be forgotten."""
VOLATILE = re.compile(r"presence:|user:[^:]+:gateways|room:[^:]+:gateways|gateways$")
"""Keys of Redis that say who is connected where. The others are data, and each message adds one: those have an end."""
LASTING = re.compile(r"room:[^:]+:(head|members|recent|banned)$|user:[^:]+:rooms$")
"""Keys that are there for as long as what they are of. All others must end by themselves."""


@dataclass(frozen=True)
class Inventory:
    """What a system at rest has. `files` and `memory` (bytes) per process id; `keys` per kind of key, `endless` those
    that should end by themselves and do not; `subscriptions` with what is left to do.
    """

    files: dict[int, int]
    memory: dict[int, int]
    keys: Counter[str]
    endless: Counter[str]
    topics: frozenset[str]
    subscriptions: dict[tuple[str, str], int]

    @classmethod
    async def taken(cls, stack: Stack) -> Inventory:
        """As it is now."""
        processes = [psutil.Process(pid) for part in PARTS for pid in stack.pids(part)]
        async with redis.asyncio.Redis.from_url(stack.redis.url, decode_responses=True) as memory:
            found = [key async for key in memory.scan_iter(count=1000)]
            keys = Counter(_kind(key) for key in found if VOLATILE.match(key))
            endless = Counter([_kind(key) for key in found if not (VOLATILE.match(key) or LASTING.match(key))
                               and await memory.pttl(key) == -1])  # fmt: skip
        patient = AsyncPatient(busy_pulsar)
        async with httpx.AsyncClient(base_url=stack.pulsar.admin_url, transport=patient, timeout=30.0) as admin:
            names = [name for space in topics.NAMESPACES for name in await _topics(admin, space)]
            readers = {name: there for name in names if (there := await _readers(admin, name)) is not None}
        return cls(
            {process.pid: process.num_fds() for process in processes},
            {process.pid: process.memory_info().rss for process in processes},
            keys,
            endless,
            frozenset(readers),
            {(name, reader): left for name, there in readers.items() for reader, left in there.items()},
        )

    def more_than(self, before: Inventory) -> list[str]:
        """What is here and was not before, for people."""
        grown = [f"process {pid}: {count} open files, had {before.files.get(pid)}"
                 for pid, count in self.files.items() if count > before.files.get(pid, 0) + DESCRIPTORS]  # fmt: skip
        grown += [f"process {pid}: {size >> 20} MiB, had {before.memory.get(pid, 0) >> 20}"
                  for pid, size in self.memory.items() if size > before.memory.get(pid, 0) + MEMORY]  # fmt: skip
        grown += [f"{count} keys more of {kind}" for kind, count in (self.keys - before.keys).items()]
        grown += [f"{count} keys more of {kind}, for ever" for kind, count in (self.endless - before.endless).items()]
        grown += [f"topic {name}" for name in self.topics - before.topics]
        for (topic, name), left in self.subscriptions.items():
            if (topic, name) not in before.subscriptions:
                grown.append(f"subscription {name} of {topic}")
            elif left > before.subscriptions[topic, name] + UNDER_WAY:
                grown.append(f"{left} messages left to {name} of {topic}")
        return grown


async def test_whoever_leaves_leaves_nothing_behind(
    stack: Stack, functions: Functions, chance: random.Random, record: Record
) -> None:
    """Open files, memory, keys, topics, subscriptions and backlogs are back where they started."""
    await _churn(stack, functions, chance, 0.3)  # pools and caches fill
    before = await _at_rest(stack)
    end = time.monotonic() + MINUTES * 60
    visits, verdicts = 0, []
    while (left := end - time.monotonic()) > 0:
        verdict, came = await _churn(stack, functions, chance, min(ROUND, left / 60))
        visits += came
        verdicts.append(verdict)
        record("connect, talk, leave", visits, Verdict.of_all(verdicts))
        assert not verdict.findings, str(verdict)
    assert visits > MINUTES * 60, f"only {visits} visits: nothing was tested"
    grown = ["nothing was counted"]

    async def nothing_is_left() -> bool:
        nonlocal grown
        grown = (await Inventory.taken(stack)).more_than(before)
        return not grown

    with suppress(AssertionError):  # what is left says more than that we waited
        await until("all is as it was", nothing_is_left, REST_WITHIN, every=3.0)
    assert not grown, f"{visits} visits have left behind: {grown}"


async def _churn(stack: Stack, functions: Functions, chance: random.Random, minutes: float) -> tuple[Verdict, int]:
    """The verdict on what was said, and how often somebody came."""
    async with gathered(stack, chance) as crowd:
        async with crowd.talking():
            end = time.monotonic() + minutes * 60
            while time.monotonic() < end:
                await asyncio.sleep(chance.expovariate(VISITS))
                await chance.choice(crowd.clients).leave(politely=chance.random() < 0.5)
        await crowd.until_settled()
        await functions.until_idle()
        rows = await asyncio.to_thread(stored.read, stack.cassandra, crowd.rooms)
        await crowd.until_heard(rows)
        return judge(crowd.journals, rows), sum(client.arrivals for client in crowd.clients)


async def _at_rest(stack: Stack) -> Inventory:
    """What there is when everybody has gone: nothing of them, or, where other tests have left what no gateway knows of,
    nothing that goes away.
    """
    first = last = await Inventory.taken(stack)
    since = time.monotonic()

    async def nobody_is_there() -> bool:
        nonlocal first, last, since
        last = await Inventory.taken(stack)
        if last.keys != first.keys:
            first, since = last, time.monotonic()
        return not set(last.keys) - {redis_keys.GATEWAYS} or time.monotonic() - since > STEADY

    await until("all who left are forgotten", nobody_is_there, REST_WITHIN, every=3.0)
    return last


def _kind(key: str) -> str:
    return ":".join("*" if len(part) > 20 else part for part in key.split(":"))


async def _topics(admin: httpx.AsyncClient, namespace: str) -> list[str]:
    names: list[str] = (await admin.get(f"/admin/v2/persistent/{namespace}")).raise_for_status().json()
    return names


async def _readers(admin: httpx.AsyncClient, topic: str) -> dict[str, int] | None:
    """What is left to do to each durable subscription; nothing counts where nobody reads, as other tests' do not.

    None: the topic is not there any more.
    """
    path = topic.removeprefix("persistent://")
    answer = await admin.get(f"/admin/v2/persistent/{path}/stats?getPreciseBacklog=true")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    stats = answer.raise_for_status().json()
    durable = {name: one for name, one in stats["subscriptions"].items() if one["isDurable"]}
    return {name: one["msgBacklog"] if one["consumers"] else 0 for name, one in durable.items()}

"""A run in which a wall clock jumps, and what must hold of it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.clients.chat_client import PATIENCE
from tests.clients.device import Device
from tests.clients.people import sign_up
from tests.faults import scenario
from tests.faults.clocks import HOUR, WrongClock
from tests.faults.conftest import Record
from tests.faults.crowd import Crowd, Doors
from tests.faults.functions import Functions
from tests.running_stack import Stack

READS_WITHIN = 20.0
"""Seconds for everybody to be answered: a reader whose question always meets the wrong clock would never be."""


Jump = Callable[[int, Crowd], Awaitable[None]]
"""What must hold once the clock is so many seconds off."""


@dataclass(frozen=True)
class Jumps:
    """A run in which a clock jumps an hour ahead, an hour back from there, an hour behind, and so on."""

    stack: Stack
    functions: Functions
    chance: random.Random
    record: Record
    clock: WrongClock

    async def judged(self, name: str, faults: int, holds: Jump, doors: Doors | None = None) -> None:
        """As the judge has it: nothing is lost, doubled or refused."""

        async def jumps(crowd: Crowd) -> None:
            for seconds in itertools.islice(itertools.cycle((HOUR, -HOUR)), faults):
                await asyncio.sleep(self.chance.uniform(0.5, 2.0))
                self.clock.set(seconds)
                await holds(seconds, crowd)
            await asyncio.sleep(1.0)
            self.clock.set(0)

        verdict = await scenario.run(
            self.stack, self.functions, self.chance, jumps, within=PATIENCE, again=True, doors=doors
        )  # fmt: skip
        self.record(name, faults, verdict)
        assert not verdict.findings, str(verdict)


async def all_read(crowd: Crowd, count: int = 20) -> None:
    """So many read, and all are answered: whichever instance has them."""
    async with asyncio.timeout(READS_WITHIN), asyncio.TaskGroup() as tasks:
        for client, room in itertools.islice(zip(crowd.clients, crowd.homes, strict=True), count):
            tasks.create_task(client.rpc("message.list", {"room": room, "limit": 20}))


@asynccontextmanager
async def edited(stack: Stack, count: int = 4) -> AsyncIterator[Jump]:
    """What must hold: everybody who reads is answered, and an edit takes the place of the one before it.

    In as many rooms, so that all instances have some.
    """
    (ada,) = await sign_up(stack.auth, 1)
    async with Device.connected(ada, stack.gateways[0]) as device:
        rooms = [(await device.call("room.create", kind="group", name=f"clock {n}"))["room"] for n in range(count)]
        seqs = [(await device.call("message.send", room=room, text="first"))["seq"] for room in rooms]

        async def holds(seconds: int, crowd: Crowd) -> None:
            await all_read(crowd)
            for room, seq in zip(rooms, seqs, strict=True):
                await device.call("message.edit", room=room, seq=seq, text=f"by a clock {seconds} s off")
                await _stored_as(device, room, seq, f"by a clock {seconds} s off")

        yield holds


async def _stored_as(device: Device, room: str, seq: int, text: str) -> None:
    page = await device.call("message.list", room=room, after=seq - 1, limit=1)
    assert [message["text"] for message in page["messages"]] == [text]

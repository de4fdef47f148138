"""What others notice of a flood: p99 of their messages before it, while it goes on, and behind it, on a running stack.

Before it and behind it the same program floods a sink. So what differs is what the flood does to us, and not that it
runs on the same machine: attackers have their own. What it is without any flood is told besides.

    python -m tests.attacks.comparison DATA one    # fifty sockets of one account
    python -m tests.attacks.comparison DATA many   # of fifty accounts, one each
    python -m tests.attacks.comparison DATA many 60   # for so many times ten seconds

It needs a quiet machine. Flood and sink have of the processor what is idle.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.gateway.client import Wire, session
from tests.gateway.people import key, make_room, sign_up
from tests.running_stack import Stack, attached

SOCKETS: Final = 50
"""As many as a user may have at a gateway."""
PHASE: Final = 10.0
"""Seconds of one figure."""
WARM: Final = 6
"""So many phases that do not count: what has just started still compiles itself."""
QUIET: Final = 5
"""So many before the flood, and so many behind it."""
FLOOD: Final = 15
"""So many while it goes on, unless told: closed, it is back at once, and let in after 20 to 30 s, twice that, and so
on."""
PAUSE: Final = 0.04


class Switch:
    """The program in `flood`, to be switched on and off."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def go(self) -> None:
        """On."""
        await self._say("go")

    async def stop(self) -> Mapping[str, int]:
        """Off; what it did."""
        await self._say("stop")
        assert self._process.stdout is not None
        done: Mapping[str, int] = json.loads(await self._process.stdout.readline())
        return done

    @classmethod
    @asynccontextmanager
    async def ready(cls, url: str, tokens: list[str], room: str) -> AsyncIterator[Switch]:
        """Off."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.attacks.flood", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            flood = cls(process)
            await flood._say(json.dumps({"url": url, "tokens": tokens, "room": room}))
            yield flood
            await flood._say("end")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def sink() -> AsyncIterator[str]:
    """The address of one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.attacks.sink", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def phase(sender: Wire, listener: Wire, room: str) -> tuple[float, int]:
    """p99 in ms, from a message's sending to its push at somebody else; and how many were refused for the moment."""
    taken: list[float] = []
    failed, end = 0, time.monotonic() + PHASE
    while time.monotonic() < end:
        heard, begun = len(listener.events(room)), time.monotonic()
        data = {"room": room, "key": key(), "text": "hello"}
        reply = await sender.ask(rpc={"method": "message.send", "data": data})
        if "rpc" in reply:
            await listener.heard(room, heard + 1)
            taken.append((time.monotonic() - begun) * 1000)
        else:
            failed += 1
        await asyncio.sleep(PAUSE)
    return statistics.quantiles(taken, n=100)[98] if len(taken) > 1 else math.inf, failed


Phases = list[tuple[float, int]]


@dataclass(frozen=True)
class Figures:
    """Phases: p99 in ms, and how many were refused. `done`: what the flood did; `sunk`: what was sent to the sink.

    `alone`: without a flood, of a sink either.
    """

    alone: Phases
    before: Phases
    flooded: Phases
    behind: Phases
    done: Mapping[str, int]
    sunk: int

    @property
    def times(self) -> float:
        """How much longer the p99 of others is with the flood than without: the median of the phases of each."""
        return statistics.median(p99 for p99, _ in self.flooded) / self._without

    @property
    def _without(self) -> float:
        return statistics.median(p99 for p99, _ in self.before + self.behind)

    @property
    def refused(self) -> int:
        """How often others were refused for the moment, meanwhile."""
        return sum(failed for _, failed in self.flooded)

    def __str__(self) -> str:
        names = (
            ("alone", self.alone),
            ("before", self.before),
            ("with the flood", self.flooded),
            ("behind", self.behind),
        )
        lines = [
            f"p99 {name}, ms, by {PHASE:.0f} s: {' '.join(f'{p99:.0f}' for p99, _ in all_)}" for name, all_ in names
        ]
        lines.append(f"sent to the sink without it: {self.sunk}")
        lines.append(f"the median without it: {self._without:.1f} ms; with it {100 * (self.times - 1):+.0f} %")
        return "\n".join([*lines, f"the flood: {dict(self.done)}; refused to others meanwhile: {self.refused}"])


async def compare(stack: Stack, kind: str, phases_of_flood: int = FLOOD) -> Figures:
    """As the module says; `kind` is one or many."""
    people = [await asyncio.to_thread(sign_up, stack.auth) for _ in range(1 if kind == "one" else SOCKETS)]
    tokens = [people[number % len(people)].token for number in range(SOCKETS)]
    ada, grace = [await asyncio.to_thread(sign_up, stack.auth) for _ in range(2)]
    async with session(stack.gateways[0], tokens[0]) as (wire, _):
        target = await make_room(wire)
    async with (
        session(stack.gateways[0], ada.token) as (sender, _),
        session(stack.gateways[-1], grace.token) as (listener, _),
        sink() as url,
        Switch.ready(stack.gateways[0], tokens, target) as flood,
        Switch.ready(url, tokens, target) as elsewhere,
    ):
        room = await make_room(sender, grace)

        async def phases(count: int) -> Phases:
            return [await phase(sender, listener, room) for _ in range(count)]

        await phases(WARM)
        alone = await phases(QUIET)
        await elsewhere.go()
        before = await phases(QUIET)
        sunk = (await elsewhere.stop()).get("sent", 0)
        await flood.go()
        flooded = await phases(phases_of_flood)
        done = await flood.stop()
        await elsewhere.go()
        behind = await phases(QUIET)
        sunk += (await elsewhere.stop()).get("sent", 0)
    return Figures(alone, before, flooded, behind, done, sunk)


async def main(data: str, kind: str, phases: str = str(FLOOD)) -> None:
    """See the module."""
    print(await compare(attached(Path(data)), kind, int(phases)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

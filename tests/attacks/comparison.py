"""What others notice of a flood: p99 of their messages without it and with it, in turns, on a running stack.

    python -m tests.attacks.comparison DATA one    # fifty sockets of one account
    python -m tests.attacks.comparison DATA many   # of fifty accounts, one each

It needs a quiet machine. The flood takes its share of the same processor, at the lowest priority there is.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.gateway.client import Wire, session
from tests.gateway.people import key, make_room, sign_up
from tests.running_stack import Stack, attached

SOCKETS: Final = 49
"""One less than a user may have at a gateway."""
PHASES: Final = 6
"""Pairs of a quiet one and one with the flood, one after the other: what else the machine does falls on both."""
PHASE: Final = 8.0
"""Seconds."""
SETTLE: Final = 3.0
"""Seconds of the flood before it is measured: at first each user has a burst."""
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
    return statistics.quantiles(taken, n=100)[98], failed


async def compare(stack: Stack, tokens: list[str]) -> str:
    """The figures, for people."""
    ada, grace = [await asyncio.to_thread(sign_up, stack.auth) for _ in range(2)]
    async with session(stack.gateways[0], tokens[0]) as (wire, _):
        target = await make_room(wire)
    quiet: list[float] = []
    flooded: list[float] = []
    done: Counter[str] = Counter()
    async with (
        session(stack.gateways[0], ada.token) as (sender, _),
        session(stack.gateways[-1], grace.token) as (listener, _),
        Switch.ready(stack.gateways[0], tokens, target) as flood,
    ):
        room = await make_room(sender, grace)
        await phase(sender, listener, room)  # warm
        for _ in range(PHASES):
            quiet.append((await phase(sender, listener, room))[0])
            await flood.go()
            await asyncio.sleep(SETTLE)
            p99, failed = await phase(sender, listener, room)
            flooded.append(p99)
            done.update({**await flood.stop(), "refused to others": failed})
            await asyncio.sleep(SETTLE)
    without, with_it = statistics.median(quiet), statistics.median(flooded)
    lines = [f"p99 {name}, ms: {' '.join(f'{one:.1f}' for one in all_)}" for name, all_ in (
        ("without", quiet), ("with the flood", flooded),
    )]  # fmt: skip
    lines.append(f"medians {without:.1f} and {with_it:.1f} ms: {100 * (with_it / without - 1):+.0f} %")
    return "\n".join([*lines, f"the flood: {dict(done)}"])


async def main(data: str, kind: str) -> None:
    """See the module."""
    stack = attached(Path(data))
    people = [sign_up(stack.auth) for _ in range(1 if kind == "one" else SOCKETS)]
    print(await compare(stack, [people[number % len(people)].token for number in range(SOCKETS)]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

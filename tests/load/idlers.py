"""People who are connected and say nothing, in a process of their own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tests.load.errors import LoadFailed
from tests.load.sockets import AT_ONCE, Seat, Socket, connect


@dataclass(frozen=True)
class Plan:
    """Connect the first `steps[0]` seats, report, wait; then up to `steps[1]`, and so on."""

    seats: tuple[Seat, ...]
    steps: tuple[int, ...]


def run(plan: Plan, parent: Connection) -> None:
    """The process. Says how many are connected after each step, and goes on when told to."""
    try:
        asyncio.run(_run(plan, parent))
    except LoadFailed as error:
        parent.send(error)


async def _run(plan: Plan, parent: Connection) -> None:
    places, sockets = asyncio.Semaphore(AT_ONCE), list[Socket]()

    async def one(seat: Seat) -> Socket:
        async with places:
            return await connect(seat, lambda line: None)

    for step in plan.steps:
        sockets += await asyncio.gather(*(one(seat) for seat in plan.seats[len(sockets) : step]))
        ended = {socket.ended for socket in sockets if socket.ended is not None}
        if ended:
            raise LoadFailed(f"Idle sockets ended: {', '.join(sorted(ended))}.")
        parent.send(len(sockets))
        await asyncio.to_thread(parent.recv)  # pings are answered meanwhile
    for socket in sockets:
        socket.close()

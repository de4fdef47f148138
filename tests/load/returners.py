"""People whose gateway is killed, in a process of their own: all come back by themselves, as the SDKs do."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from pydantic_core import from_json

from tests.load.errors import LoadFailed
from tests.load.sockets import AT_ONCE, Seat, Socket, connect, open_once

FIRST, LONGEST = 0.5, 20.0
"""Seconds: bounds of the SDKs' backoff, doubling with full jitter."""
ANSWER = 5.0
"""Seconds the SDKs wait for the answer to a connect."""


@dataclass(frozen=True)
class Plan:
    """`seats` are on the gateway that will be killed; `elsewhere` are all addresses that a client may come back to."""

    seats: tuple[Seat, ...]
    rooms: tuple[str, ...]
    """The one room of each."""
    elsewhere: tuple[str, ...]
    within: float
    """Seconds, after which whoever is not back is counted as lost."""


@dataclass(frozen=True)
class Back:
    """Seconds from the loss of each connection to the answer that let it in again; how it was let in."""

    seconds: tuple[float, ...]
    recovered: int
    whole: int
    """Got every event of its room, in order, once."""
    attempts: int


@dataclass
class Returner:
    """One client: where it is in its room, and the offsets it has got."""

    seat: Seat
    room: str
    epoch: str = ""
    offset: int = 0
    whole: bool = True
    recovered: bool = False
    attempts: int = 0
    took: float | None = None

    async def sit(self) -> Socket:
        """Connect for the first time."""
        answer: list[bytes] = []
        socket = await connect(self.seat, self._line, answer.append)
        self._position(from_json(answer[0])["connect"]["subs"][f"room:{self.room}"])
        return socket

    def _position(self, sub: dict[str, object]) -> None:
        self.epoch, self.offset = str(sub["epoch"]), int(str(sub["offset"]))

    def _line(self, line: bytes) -> None:
        push = from_json(line).get("push", {})
        if push.get("channel") == f"room:{self.room}" and "offset" in push.get("pub", {}):
            self._got(push["pub"]["offset"])

    def _got(self, offset: int) -> None:
        self.whole = self.whole and offset == self.offset + 1
        self.offset = offset

    async def come_back(self, gateways: Sequence[str], within: float) -> Socket | None:
        """Until it is let in, on any gateway; None if that takes longer than `within` seconds."""
        lost, longest = time.monotonic(), FIRST
        while time.monotonic() - lost < within:
            await asyncio.sleep(FIRST / 2 + random.uniform(0, longest))
            longest = min(LONGEST, longest * 2)
            self.attempts += 1
            socket = await self._try(random.choice(gateways))
            if socket is not None:
                self.took = time.monotonic() - lost
                return socket
        return None

    async def _try(self, gateway: str) -> Socket | None:
        position = {"recover": True, "epoch": self.epoch, "offset": self.offset}
        try:
            async with asyncio.timeout(ANSWER):
                seat = Seat(gateway, self.seat.token)
                socket, answer = await open_once(seat, self._line, {f"room:{self.room}": position})
        except (OSError, TimeoutError, LoadFailed):
            return None
        connected = from_json(answer).get("connect")
        if connected is None:
            socket.close()
            return None
        sub = connected["subs"][f"room:{self.room}"]
        self.recovered = bool(sub.get("recovered"))
        for publication in sub.get("publications", ()):
            self._got(publication["offset"])
        return socket


def run(plan: Plan, parent: Connection) -> None:
    """The process. Says when all are connected, and later how they came back."""
    try:
        asyncio.run(_run(plan, parent))
    except LoadFailed as error:
        parent.send(error)


async def _run(plan: Plan, parent: Connection) -> None:
    returners = [Returner(seat, room) for seat, room in zip(plan.seats, plan.rooms, strict=True)]
    sockets = await seated(returners)
    parent.send("all are connected")
    parent.send(await returned(returners, sockets, plan.elsewhere, plan.within))


async def seated(returners: Sequence[Returner]) -> list[Socket]:
    """All of them connected."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(returner: Returner) -> Socket:
        async with places:
            return await returner.sit()

    return list(await asyncio.gather(*(one(returner) for returner in returners)))


async def returned(
    returners: Sequence[Returner], sockets: Sequence[Socket], elsewhere: Sequence[str], within: float
) -> Back:
    """Each waits for the loss of its connection, and comes back. Every room must get one event meanwhile, or soon."""

    async def one(returner: Returner, socket: Socket) -> Socket | None:
        start = returner.offset
        await socket.lost
        back = await returner.come_back(elsewhere, within)
        deadline = time.monotonic() + within
        while returner.offset <= start and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        returner.whole = returner.whole and returner.offset == start + 1
        return back

    back = await asyncio.gather(*(one(*pair) for pair in zip(returners, sockets, strict=True)))
    for socket in back:
        if socket is not None:
            socket.close()
    return Back(
        seconds=tuple(returner.took for returner in returners if returner.took is not None),
        recovered=sum(returner.recovered for returner in returners),
        whole=sum(returner.whole for returner in returners),
        attempts=sum(returner.attempts for returner in returners),
    )

"""The people who talk, in a process of their own: sends on a timetable, and notes when what reached whom.

Times count from the moment a message was *due*. A stack that stalls makes the sends behind it late as well, and that
is part of what people would feel.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from pydantic_core import from_json, to_json

from pulsar_data import ids
from tests.load.errors import LoadFailed
from tests.load.sockets import AT_ONCE, Seat, Socket, connect

MARK = b'"text":"#'
DIGITS = 8
PADDING = " The quick brown fox jumps over the lazy dog, and tells everybody in this room about it."
PATIENCE = 30.0
"""Seconds after the last send for the last delivery."""


@dataclass(frozen=True)
class Plan:
    """`seats[i]` are the members of `rooms[i]`; `rate` sends a second in all; `warm_up` seconds are not timed."""

    rooms: tuple[str, ...]
    seats: tuple[tuple[Seat, ...], ...]
    rate: float
    warm_up: float
    seconds: float

    @property
    def sends(self) -> int:
        """In all."""
        return round(self.rate * (self.warm_up + self.seconds))

    @property
    def uncounted(self) -> int:
        """Sends of the warm-up: delivered and stored like all, but not timed."""
        return round(self.rate * self.warm_up)

    @property
    def expected(self) -> int:
        """Deliveries: each to every member, the sender too."""
        return sum(len(self.seats[number % len(self.rooms)]) for number in range(self.sends))


@dataclass(frozen=True)
class Heard:
    """Times in ms from when a message was due: until a member had it, its sender the ack, and `late`: it was sent."""

    sent: int
    acked: int
    refused: int
    delivered: int
    twice: int
    deliveries: array[float] = field(repr=False)
    acks: array[float] = field(repr=False)
    late: array[float] = field(repr=False)
    cpu: float
    """Seconds of this process from the first timed send to the end."""
    wall: float


class _Talk:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._due = array("d", bytes(8 * plan.sends))
        self._seen: list[list[set[int]]] = [[set() for _ in seats] for seats in plan.seats]
        self._sockets: list[list[Socket]] = []
        self._deliveries, self._acks, self._late = array("d"), array("d"), array("d")
        self._delivered = self._twice = self._acked = self._refused = 0

    async def open(self) -> None:
        """Everybody connects."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(room: int, place: int, seat: Seat) -> Socket:
            async with places:
                return await connect(seat, lambda line: self._line(room, place, line))

        for room, seats in enumerate(self._plan.seats):
            tasks = (one(room, place, seat) for place, seat in enumerate(seats))
            self._sockets.append(await asyncio.gather(*tasks))

    def _line(self, room: int, place: int, line: bytes) -> None:
        now = time.monotonic()
        at = line.find(MARK)
        if at >= 0:
            start = at + len(MARK)
            self._hear(now, self._seen[room][place], int(line[start : start + DIGITS]))
        elif line.startswith(b'{"id":'):
            self._answered(now, line)

    def _hear(self, now: float, seen: set[int], number: int) -> None:
        if number in seen:
            self._twice += 1
            return
        seen.add(number)
        self._delivered += 1
        if number >= self._plan.uncounted:
            self._deliveries.append((now - self._due[number]) * 1000)

    def _answered(self, now: float, line: bytes) -> None:
        answer = from_json(line)
        number = answer["id"] - 2
        if "error" in answer:
            self._refused += 1
            return
        self._acked += 1
        if number >= self._plan.uncounted:
            self._acks.append((now - self._due[number]) * 1000)

    async def talk(self, begin: float, first: int, last: int) -> None:
        """Send messages first..last, each when it is due: `number / rate` seconds after `begin`."""
        for number in range(first, last):
            due = begin + number / self._plan.rate
            self._due[number] = due
            if (ahead := due - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            self._send(number)
            if number >= self._plan.uncounted:
                self._late.append((time.monotonic() - due) * 1000)

    def _send(self, number: int) -> None:
        room = number % len(self._plan.rooms)
        sockets = self._sockets[room]
        data = {
            "room": self._plan.rooms[room],
            "key": ids.new_key(time.time_ns() // 1_000_000),
            "text": f"#{number:0{DIGITS}}{PADDING}",
        }
        socket = sockets[number // len(self._plan.rooms) % len(sockets)]
        socket.send(to_json({"id": number + 2, "rpc": {"method": "message.send", "data": data}}))

    async def settle(self) -> None:
        """Until everything has come, or nothing more will."""
        deadline = time.monotonic() + PATIENCE
        while self._delivered < self._plan.expected or self._acked + self._refused < self._plan.sends:
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # whatever comes twice

    def close(self) -> None:
        """Everybody leaves. Raises LoadFailed if somebody was thrown out before."""
        everybody = [socket for sockets in self._sockets for socket in sockets]
        ended = {socket.ended for socket in everybody if socket.ended is not None}
        for socket in everybody:
            socket.close()
        if ended:
            raise LoadFailed(f"Sockets ended while people talked: {', '.join(sorted(ended))}.")

    def heard(self, cpu: float, wall: float) -> Heard:
        """All of it."""
        return Heard(
            self._plan.sends, self._acked, self._refused, self._delivered, self._twice,
            self._deliveries, self._acks, self._late, cpu, wall,
        )  # fmt: skip


def run(plan: Plan, parent: Connection) -> None:
    """The process. Says "talking" when the timed part begins, then a Heard, or a LoadFailed."""
    try:
        parent.send(asyncio.run(_run(plan, parent)))
    except LoadFailed as error:
        parent.send(error)


async def _run(plan: Plan, parent: Connection) -> Heard:
    talk = _Talk(plan)
    await talk.open()
    begin = time.monotonic() + 0.1
    await talk.talk(begin, 0, plan.uncounted)
    parent.send("talking")
    cpu, wall = time.process_time(), time.monotonic()
    await talk.talk(begin, plan.uncounted, plan.sends)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    parent.send("silent")
    await talk.settle()
    talk.close()
    return talk.heard(cpu, wall)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

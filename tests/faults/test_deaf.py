"""Some stop reading, some vanish without a word, while everybody else talks: who is well does not notice.

The guests sit in the rooms of the crowd, one in each. Half of them no longer read, with small buffers; the others'
cables are cut, and neither side is told. Both are recorded as slow (3008) once they have taken nothing for ten seconds.
"""

from __future__ import annotations

import asyncio
import random
import socket
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import httpx

from tests.clients.chat_client import PATIENCE
from tests.clients.people import Person, sign_up
from tests.clients.talkers import fresh_key
from tests.clients.waiting import until
from tests.faults import scenario
from tests.faults.conftest import Record, times, whole_parts
from tests.faults.crowd import ROOMS, Crowd
from tests.faults.functions import Functions
from tests.faults.judge import Verdict
from tests.faults.network import Network
from tests.gateway.client import Wire, session
from tests.running_stack import Stack

pytestmark = whole_parts()
WINDOW = 8.0
"""Seconds of talk that are compared: with everybody well, and from when the guests are not until they are given up."""
ALLOWED = 1.15
"""How much longer p99 may be for the others."""
ENOUGH = 10
"""Pairs of windows from which on that can be told on a machine that others use as well."""
STALL = 10.0
"""Seconds without progress until a socket is aborted."""
FULL = 10.0
"""Seconds until the buffers of who does not read are full, and for a busy machine."""
OFFLINE = 40.0
"""Seconds until a guest is offline."""
BUFFER = 4096
"""Bytes that the kernel holds for a guest that does not read: some seconds of talk."""
CLOSED_AS_SLOW = 'chattifier_gateway_connections_closed_total{code="3008"}'
Window = tuple[float, float]


@dataclass(frozen=True)
class Guests:
    """Who is in the crowd's rooms besides, one in each; `host` is in all of them, and stays well."""

    people: Sequence[Person]
    rooms: Sequence[str]
    host: Wire

    async def offline(self) -> bool:
        """Whether no guest is there any more, as the rooms have it."""
        rooms = [await self.host.present(room) for room in self.rooms]
        return not {info["user"] for room in rooms for info in room.values()} & {guest.user for guest in self.people}


async def test_who_does_not_read_or_is_gone_harms_nobody_else(
    stack: Stack, functions: Functions, broken: Network, chance: random.Random, record: Record
) -> None:
    """Nothing is lost; p99 of the others is as before; 3008 after ten seconds; offline within forty."""
    people = await sign_up(stack.auth, ROOMS + 1)
    well: list[Window] = []
    troubled: list[Window] = []

    async def trouble(crowd: Crowd) -> None:
        async with invited(stack, crowd, people) as guests:
            for _ in range(times(1)):
                async with seated(stack, guests) as seats:
                    await asyncio.sleep(chance.uniform(1.0, 3.0))
                    well.append(await window())
                    troubled.append(await deafen(stack, broken, guests, seats))

    verdict = await scenario.run(stack, functions, chance, trouble, within=PATIENCE, again=True)
    ratios = [p99(verdict, after) / p99(verdict, before) for before, after in zip(well, troubled, strict=True)]
    ratio = statistics.median(ratios)
    print(f"p99 of the others, times what it was just before: {' '.join(f'{one:.2f}' for one in ratios)}")
    record("5 readers stop, 5 vanish", len(ratios), verdict)
    assert not verdict.findings, str(verdict)
    assert len(ratios) < ENOUGH or ratio <= ALLOWED, ratios


async def window() -> Window:
    """A while, as it is."""
    begun = time.monotonic()
    await asyncio.sleep(WINDOW)
    return begun, time.monotonic()


def p99(verdict: Verdict, of: Window) -> float:
    """Of what was meant to be sent in that window: seconds until it had reached a member of the crowd."""
    begun, ended = of
    delays = [one.delay for one in verdict.deliveries if begun <= one.received.at - one.delay < ended]
    return statistics.quantiles(delays, n=100)[98]


async def deafen(stack: Stack, broken: Network, guests: Guests, seats: Sequence[Wire]) -> Window:
    """All guests take nothing any more, each other one for another reason, until the gateways gave them up."""
    before, struck = await closed_as_slow(stack), time.monotonic()
    for seat in seats[::2]:
        seat.socket.transport.pause_reading()
    with broken.gone([ports(seat) for seat in seats[1::2]]):
        compared = await window()
        early = await closed_as_slow(stack) - before if time.monotonic() - struck < STALL else 0
        assert not early, f"{early} were given up too early"

        async def all_recorded() -> bool:
            return await closed_as_slow(stack) >= before + len(seats)

        await until("all guests are recorded as slow", all_recorded, struck + STALL + FULL - time.monotonic())
        await until("all guests are offline", guests.offline, struck + OFFLINE - time.monotonic())
    return compared


def ports(seat: Wire) -> tuple[int, int]:
    """Of client and server."""
    return seat.socket.local_address[1], seat.socket.remote_address[1]


async def closed_as_slow(stack: Stack) -> int:
    """How many sockets all gateways have closed with 3008."""
    count = 0.0
    async with httpx.AsyncClient(trust_env=False) as http:
        for gateway in stack.gateways:
            text = (await http.get(f"http://{urlsplit(gateway).netloc}/metrics")).text
            count += sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(CLOSED_AS_SLOW))
    return round(count)


@asynccontextmanager
async def invited(stack: Stack, crowd: Crowd, people: Sequence[Person]) -> AsyncIterator[Guests]:
    """The last of these people is the host. Rooms show presence from now on."""
    *guests, host = people
    for owner, room, guest in zip(crowd.clients, crowd.rooms, guests, strict=False):
        for person in (guest, host):
            await owner.rpc("member.add", {"room": room, "key": fresh_key(), "user": person.user})
        await owner.rpc("room.update", {"room": room, "key": fresh_key(), "presence": True})
    async with session(stack.gateways[0], host.token) as (wire, _):
        yield Guests(guests, crowd.rooms, wire)


@asynccontextmanager
async def seated(stack: Stack, guests: Guests) -> AsyncIterator[list[Wire]]:
    """The guests, connected over all gateways by turns."""
    async with AsyncExitStack() as sockets:
        seats = []
        for number, guest in enumerate(guests.people):
            gateway = stack.gateways[number // 2 % len(stack.gateways)]
            seat, _ = await sockets.enter_async_context(session(gateway, guest.token, dial=partial(connected, gateway)))
            sockets.callback(seat.socket.transport.abort)
            seats.append(seat)
        yield seats


async def connected(gateway: str) -> socket.socket:
    """A connection with a small buffer."""
    place = urlsplit(gateway)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, (place.hostname, place.port))
    return small

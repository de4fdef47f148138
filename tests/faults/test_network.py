"""The network between two parts fails under load: cut for half a minute, lossy, long. All recovers by itself.

A cut is told to nobody: no end of a connection, no reset. What is on its way then is sent again, or given up.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx
import pytest

from tests.canary import fresh_password
from tests.clients.people import own_address
from tests.clients.waiting import until
from tests.faults import network
from tests.faults.conftest import Trial, on_demand, times, unavailable, whole_parts
from tests.faults.crowd import Crowd, Doors, Entrance
from tests.faults.functions import Functions
from tests.faults.network import CLIENTS, Link, Network, Unavailable, Way
from tests.running_stack import Stack

pytestmark = whole_parts()
CUT = 30.0
"""Seconds without a packet."""
POOR = 10.0
"""Seconds with a lossy, or a long network."""
DELAY = 0.2
"""Seconds that each packet takes longer."""
BACK_WITHIN = 30.0
"""Seconds from the end of a cut until there is talk in every room, and until all that was said is acked: clients wait a
minute for that."""
STORED_WITHIN = 300.0
CAUGHT_UP = 200
"""Messages: two seconds of talk, as it goes on meanwhile."""
LINKS = (
    Link("gateway", "pulsar"),
    Link("gateway", "redis"),
    Link("functions", "pulsar"),
    Link("functions", "redis"),
    Link("functions", "cassandra"),
    Link(CLIENTS, "gateways"),
    Link("edge", "gateways"),
)
LINKS_OF_AUTH = (Link("auth", "cassandra"), Link("auth", "redis"), Link("auth", "pulsar"), Link("edge", "auth"))
ANSWERED_WITHIN = 20.0
"""Seconds in which user-auth, or the edge for it, says what became of a request."""
EXPECTED = (httpx.codes.NO_CONTENT, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)
"""What becomes of it while they are cut off; the last is the edge's."""
PROMPT = 5.0
"""Seconds from the moment a message was meant to be sent until every member has it, where its way is whole."""
WAYS: tuple[Way, ...] = ("both", "both", "there", "back")
"""Half of the cuts are of one way only."""
Break = Callable[[Link], AbstractContextManager[None]]


def links(in_ci: Link) -> list[object]:
    """One in CI, all on demand: each strikes so often that all together do as often as asked for."""
    return [link if link == in_ci else pytest.param(link, marks=on_demand) for link in LINKS]


def turns() -> int:
    """How often the network between two parts is broken."""
    return max(1, -(-times(1) // len(LINKS)))


def doors(stack: Stack, link: Link) -> Doors | None:
    """Where people come in, so that the link is in their way."""
    return Entrance.by_edge(stack) if link.client == "edge" else None


@pytest.mark.parametrize("link", links(in_ci=LINKS[0]), ids=str)
async def test_a_cut_costs_nobody_anything(
    stack: Stack, functions: Functions, broken: Network, chance: random.Random, trial: Trial, link: Link
) -> None:
    """Half a minute, both ways or one; then everybody talks again within the time."""

    async def cuts(crowd: Crowd) -> None:
        for _ in range(turns()):
            await asyncio.sleep(chance.uniform(1.0, 3.0))
            with broken.cut(link, chance.choice(WAYS)):
                await asyncio.sleep(CUT)
            await back(crowd, functions)
        await asyncio.sleep(2.0)

    await trial(f"{link} cut for {CUT:.0f} s", turns(), cuts, doors=doors(stack, link))


@pytest.mark.parametrize("link", links(in_ci=LINKS[3]), ids=str)
async def test_lost_packets_cost_nobody_anything(
    stack: Stack, functions: Functions, broken: Network, chance: random.Random, trial: Trial, link: Link
) -> None:
    """One in twenty, both ways."""
    await poor(stack, functions, chance, trial, link, f"{link} loses 5 %", broken.lossy)


@pytest.fixture
def longer(broken: Network) -> Break:
    """A network whose packets take longer."""
    try:
        network.check_queues()
    except Unavailable as reason:
        unavailable(f"the network cannot be made longer here: {reason}")
    return lambda link: broken.long(link, DELAY)


@pytest.mark.parametrize("link", links(in_ci=LINKS[2]), ids=str)
async def test_a_long_way_costs_nobody_anything(
    stack: Stack, functions: Functions, longer: Break, chance: random.Random, trial: Trial, link: Link
) -> None:
    """A fifth of a second there, and another one back."""
    await poor(stack, functions, chance, trial, link, f"{link} takes 200 ms longer", longer)


async def poor(
    stack: Stack, functions: Functions, chance: random.Random, trial: Trial, link: Link, name: str, breaks: Break
) -> None:
    """A trial with a network that is poor again and again; there is talk all the time."""

    async def troubles(crowd: Crowd) -> None:
        for _ in range(turns()):
            await asyncio.sleep(chance.uniform(1.0, 3.0))
            with breaks(link):
                await asyncio.sleep(POOR)
                await crowd.until_all_talk(BACK_WITHIN)
            await back(crowd, functions)
        await asyncio.sleep(2.0)

    await trial(name, turns(), troubles, doors=doors(stack, link))


@on_demand
@pytest.mark.parametrize("link", LINKS_OF_AUTH, ids=str)
async def test_a_cut_from_user_auth_is_for_who_signs_in_alone(
    stack: Stack, broken: Network, chance: random.Random, trial: Trial, link: Link
) -> None:
    """Everybody talks on as if nothing was. Who signs in or out is answered: it is done, or they may try again."""
    front = stack.edge if link.client == "edge" else stack.auth
    taken: list[float] = []
    came_back: list[float] = []

    async def works() -> bool:
        return (await visit(front, taken)) == httpx.codes.NO_CONTENT

    async def cuts(crowd: Crowd) -> None:
        del crowd
        for _ in range(turns()):
            await until("user-auth works", works, BACK_WITHIN)
            with broken.cut(link, chance.choice(WAYS)):
                visits = []
                for _ in range(round(CUT)):
                    visits.append(asyncio.create_task(visit(front, taken)))
                    await asyncio.sleep(1.0)
            healed = time.monotonic()
            answers = await asyncio.gather(*visits)
            assert set(answers) <= set(EXPECTED)
            # Without Redis user-auth counts by itself, and nobody need feel it.
            assert set(answers) != {httpx.codes.NO_CONTENT} or link.server == "redis", "nobody felt it"
            await until("user-auth works", works, BACK_WITHIN)
            came_back.append(time.monotonic() - healed)

    await trial(f"{link} cut for {CUT:.0f} s", turns(), cuts, PROMPT)
    print(f"answered within {max(taken):.1f} s; back after {' '.join(f'{seconds:.1f}' for seconds in came_back)} s")
    assert max(taken) <= ANSWERED_WITHIN


async def visit(front: str, taken: list[float]) -> int:
    """Somebody signs up, in, and out; the status of the first answer that is no success. `taken`: seconds of each."""
    account = {"username": f"t{random.getrandbits(80):020x}", "password": fresh_password()}
    transport = httpx.AsyncHTTPTransport(local_address=own_address())
    async with httpx.AsyncClient(base_url=front, transport=transport, timeout=60.0) as http:

        async def ask(path: str, body: object, token: str = "") -> httpx.Response:
            begun = time.monotonic()
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = await http.post(path, json=body, headers=headers)
            taken.append(time.monotonic() - begun)
            return answer

        for path in ("/user/register", "/user/login"):
            answer = await ask(path, account)
            if not answer.is_success:
                return answer.status_code
        return (await ask("/user/logout", None, answer.json()["access_token"])).status_code


async def back(crowd: Crowd, functions: Functions) -> None:
    """Wait until everybody is here and talks, and what was said is acked, and stored."""
    healed = time.monotonic()
    await crowd.until_settled()
    await crowd.until_all_talk(BACK_WITHIN)
    talking = time.monotonic() - healed
    await crowd.until_answered(BACK_WITHIN)
    acked = time.monotonic() - healed
    print(f"back after {talking:.1f} s, all acked after {acked:.1f} s")
    assert acked <= BACK_WITHIN
    await functions.until_left("message-store", CAUGHT_UP, STORED_WITHIN)

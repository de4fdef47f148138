"""user-auth comes and goes by itself, and nobody sees it but by the clock."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import httpx
import pytest

from tests.clients.people import sign_up
from tests.cluster import system
from tests.cluster.kubernetes import ROOT, await_true, function_pods, kubectl, node_address, node_port
from tests.cluster.system import Edge

pytestmark = pytest.mark.anyio
AT_ONCE = 50
STARTS, SIGN_INS = 10, 3
RATIO = 1.5
"""How much longer than a hello a first request may take that needs nothing but our code."""
ANSWER_WITHIN = 90.0
ACCOUNT = {"username": "crowd-of-the-morning", "password": "correct horse battery staple"}


@pytest.fixture
def hello(edge: Edge) -> Iterator[str]:
    """Where the hello function is, at Knative's ingress; its Host goes with it."""
    manifest = str(ROOT / "tests" / "cluster" / "hello" / "hello.yaml")
    kubectl("apply", f"--filename={manifest}")
    system.await_ready()
    yield f"http://{node_address()}:{node_port('kourier', 'kourier-system')}"
    kubectl("delete", f"--filename={manifest}")


async def test_a_crowd_at_a_sleeping_function_is_answered_to_the_last(edge: Edge) -> None:
    """Then all of it goes to sleep again."""
    async with httpx.AsyncClient(base_url=edge.auth, timeout=ANSWER_WITHIN, trust_env=False) as http:
        await http.post("/user/register", json=ACCOUNT)
        await asyncio.to_thread(system.await_asleep)
        started = time.monotonic()
        answers = await asyncio.gather(*(http.post("/user/login", json=ACCOUNT) for _ in range(AT_ONCE)))
        print(f"{AT_ONCE} sign-ins at a sleeping function: all answered after {time.monotonic() - started:.1f} s")
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    assert function_pods()
    print(f"asleep again after {await asyncio.to_thread(system.await_asleep):.0f} s")


async def test_a_cold_start_takes_hardly_longer_than_that_of_a_hello(edge: Edge, hello: str) -> None:
    await sign_up(edge.auth, 1)
    with httpx.Client(timeout=ANSWER_WITHIN, trust_env=False) as http:
        least = partial(http.get, hello, headers={"Host": "hello.chattifier.example.com"})
        ours = partial(http.get, f"{edge.auth}/.well-known/jwks.json")
        sign_in = partial(http.post, f"{edge.auth}/user/login", json={"username": "nobody", "password": "at all"})
        times: dict[str, list[float]] = {"hello": [], "user-auth": [], "first sign-in": []}
        for number in range(STARTS):
            await asyncio.to_thread(_sleep_both)
            times["hello"].append(_timed(least, 200))
            times["user-auth"].append(_timed(ours, 200))
            if number < SIGN_INS:
                await asyncio.to_thread(system.await_asleep)
                times["first sign-in"].append(_timed(sign_in, 401))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in times.items():
        print(f"cold {name}: median {medians[name]:.2f} s of {' '.join(f'{second:.2f}' for second in sorted(seconds))}")
    assert medians["user-auth"] <= RATIO * medians["hello"]


def _sleep_both() -> None:
    await_true("both sleep", lambda: not function_pods() and not function_pods("hello"), system.ASLEEP_WITHIN)


def _timed(request: Callable[[], httpx.Response], status: int) -> float:
    started = time.monotonic()
    answer = request()
    assert answer.status_code == status, answer.text[:200]
    return time.monotonic() - started

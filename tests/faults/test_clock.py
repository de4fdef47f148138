"""The wall clock of one process jumps by an hour under load: nothing is lost, refused, late or out of order for it.

Order is numbers, what parts must agree on is told by the clock of Redis, and rows of rooms are dated by their offset.
A gateway judges when a token ends by its own clock, whatever that says: that is all that a wrong clock changes.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.canary import fresh_password
from tests.clients.device import Device
from tests.clients.journal import Refused
from tests.clients.people import Person, sign_up
from tests.clients.socket import ErrorReply, Socket
from tests.faults import clocks, scenario
from tests.faults.clocks import HOUR, WrongClock
from tests.faults.conftest import Record, times
from tests.faults.crowd import Crowd, Doors
from tests.faults.functions import Functions
from tests.running_stack import Stack, free_ports

pytestmark = [pytest.mark.stack, pytest.mark.quiet, pytest.mark.anyio, pytest.mark.timeout(1800, func_only=True)]
READS_WITHIN = 20.0
"""Seconds for everybody to be answered: a reader whose question always meets the wrong clock would never be."""
EXPIRED = 109


@dataclass(frozen=True)
class Entrance:
    """Other doors than all of the stack's."""

    auth: str
    gateways: tuple[str, ...]


Jump = Callable[[int, Crowd], Awaitable[None]]
"""What must hold once the clock is so many seconds off."""


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    """Right until it is set."""
    return WrongClock(tmp_path)


@dataclass(frozen=True)
class Jumps:
    """A run in which a clock jumps an hour ahead, an hour back from there, an hour behind, and so on."""

    stack: Stack
    functions: Functions
    chance: random.Random
    record: Record
    clock: WrongClock

    async def judged(self, name: str, faults: int, holds: Jump, doors: Doors | None = None) -> None:
        """Nothing is lost, doubled or refused."""

        async def jumps(crowd: Crowd) -> None:
            for seconds in itertools.islice(itertools.cycle((HOUR, -HOUR)), faults):
                await asyncio.sleep(self.chance.uniform(0.5, 2.0))
                self.clock.set(seconds)
                await holds(seconds, crowd)
            await asyncio.sleep(1.0)
            self.clock.set(0)
            refused = [entry for journal in crowd.journals for entry in journal.of(Refused)]
            assert not refused, f"{len(refused)} were refused, the first with {refused[0].code}"

        verdict = await scenario.run(
            self.stack, self.functions, self.chance, jumps, within=None, again=True, doors=doors
        )  # fmt: skip
        self.record(name, faults, verdict)
        assert not verdict.findings, str(verdict)


@pytest.fixture
def jumps(stack: Stack, functions: Functions, chance: random.Random, record: Record, clock: WrongClock) -> Jumps:
    """With the clock of the test."""
    return Jumps(stack, functions, chance, record, clock)


async def _all_read(crowd: Crowd, count: int = 20) -> None:
    """So many read, and all are answered: whichever instance has them."""
    async with asyncio.timeout(READS_WITHIN), asyncio.TaskGroup() as tasks:
        for client, room in itertools.islice(zip(crowd.clients, crowd.homes, strict=True), count):
            tasks.create_task(client.rpc("message.list", {"room": room, "limit": 20}))


@pytest.mark.parametrize("function", ["chat-router", "message-store", "archive"])
async def test_a_wrong_clock_of_a_function_changes_nothing(
    stack: Stack, functions: Functions, jumps: Jumps, clock: WrongClock, function: str
) -> None:
    """One of its two instances is an hour off. Reads are answered, and of two edits the later one stays."""
    (ada,) = await sign_up(stack.auth, 1)
    async with clocks.instance(stack, functions, function, clock), Device.connected(ada, stack.gateways[0]) as device:
        rooms = [(await device.call("room.create", kind="group", name=f"clock {n}"))["room"] for n in range(4)]
        seqs = [(await device.call("message.send", room=room, text="first"))["seq"] for room in rooms]

        async def holds(seconds: int, crowd: Crowd) -> None:
            await _all_read(crowd)
            for room, seq in zip(rooms, seqs, strict=True):
                await device.call("message.edit", room=room, seq=seq, text=f"by a clock {seconds} s off")
                await _stored_as(device, room, seq, f"by a clock {seconds} s off")

        await jumps.judged(f"clock of {function} ± 1 h", times(2), holds)


async def _stored_as(device: Device, room: str, seq: int, text: str) -> None:
    page = await device.call("message.list", room=room, after=seq - 1, limit=1)
    assert [message["text"] for message in page["messages"]] == [text]


async def test_a_wrong_clock_of_a_gateway_only_changes_when_tokens_end(
    stack: Stack, jumps: Jumps, clock: WrongClock, tmp_path: Path
) -> None:
    """Whoever is connected talks and reads on. Ahead it takes a new token for expired, 109; behind it lets it in."""
    (pid,), old, port = stack.pids("gateway-1"), _port(stack.gateways[0]), free_ports(1)
    wrong = f"ws://127.0.0.1:{port}/connection/websocket"
    async with clocks.twin(pid, old, port, "/readyz", tmp_path / "gateway.log", clock):

        async def holds(seconds: int, crowd: Crowd) -> None:
            await _all_read(crowd)
            (person,) = await sign_up(stack.auth, 1)
            if seconds > 0:
                assert await _refused(wrong, person) == EXPIRED
            else:
                async with Device.connected(person, wrong) as device:
                    await device.call("room.create", kind="group", name="behind")

        doors = Entrance(stack.auth, (wrong, stack.gateways[1]))
        await jumps.judged("clock of a gateway ± 1 h", times(2), holds, doors)


async def test_a_wrong_clock_of_user_auth_ends_no_session(
    stack: Stack, jumps: Jumps, clock: WrongClock, tmp_path: Path
) -> None:
    """Ahead its tokens are good at once, for longer. Behind they are over when made, 109, and can be refreshed.

    Passwords, profiles and sessions that it has written from ahead give way to what another instance writes later.
    """
    (pid,), old, port = stack.pids("auth"), _port(stack.auth), free_ports(1)
    wrong = f"http://127.0.0.1:{port}"
    async with clocks.twin(pid, old, port, "/.well-known/jwks.json", tmp_path / "auth.log", clock):

        async def holds(seconds: int, crowd: Crowd) -> None:
            async with httpx.AsyncClient(timeout=30.0, trust_env=False) as http:
                account = Account(http, wrong)
                tokens = await account.appears()
                person = Person(tokens["user_id"], tokens["access_token"])
                if seconds < 0:
                    assert await _refused(stack.gateways[0], person) == EXPIRED
                account.auth = stack.auth
                tokens = await account.refreshed(tokens["refresh_token"])
                async with Device.connected(Person(person.user, tokens["access_token"]), stack.gateways[0]):
                    await account.changes_all(tokens["access_token"])

        await jumps.judged("clock of user-auth ± 1 h", times(2), holds)


class Account:
    """A user over HTTP. `auth`: which instance is asked."""

    def __init__(self, http: httpx.AsyncClient, auth: str) -> None:
        self.auth = auth
        self._http = http
        self._name, self._password = f"t{random.getrandbits(80):020x}", fresh_password()

    async def appears(self) -> dict[str, str]:
        """Signs up, says something of itself, and signs in; the tokens."""
        await self._ask("POST", "/user/register", {"username": self._name, "password": self._password})
        return await self._signs_in()

    async def _signs_in(self) -> dict[str, str]:
        return await self._ask("POST", "/user/login", {"username": self._name, "password": self._password})

    async def refreshed(self, token: str) -> dict[str, str]:
        """The next tokens."""
        return await self._ask("POST", "/user/refresh", {"refresh_token": token})

    async def changes_all(self, token: str) -> None:
        """A new profile, a new password, a session that ends: each is as it was changed last."""
        await self._ask("PATCH", "/user/me", {"display_name": "later"}, token)
        assert (await self._ask("GET", "/user/me", None, token))["display_name"] == "later"
        new = fresh_password()
        token = (await self._ask("POST", "/user/password", {"old": self._password, "new": new}, token))["access_token"]
        self._password = new
        other = (await self._signs_in())["access_token"]
        await self._ask("POST", "/user/logout", None, other)
        assert await self._status("GET", "/user/me", None, other) == httpx.codes.UNAUTHORIZED
        assert await self._status("GET", "/user/me", None, token) == httpx.codes.OK

    async def _status(self, method: str, path: str, body: object, token: str = "") -> int:
        return (await self._answer(method, path, body, token)).status_code

    async def _ask(self, method: str, path: str, body: object, token: str = "") -> dict[str, str]:
        answer = await self._answer(method, path, body, token)
        assert answer.is_success, f"{method} {path} answered {answer.status_code}: {answer.text[:200]}"
        found: dict[str, str] = answer.json() if answer.content else {}
        return found

    async def _answer(self, method: str, path: str, body: object, token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self._http.request(method, f"{self.auth}{path}", json=body, headers=headers)


async def _refused(gateway: str, person: Person) -> int:
    with pytest.raises(ErrorReply) as caught:
        await (await Socket.open(gateway, {"token": person.token})).close()
    return caught.value.code


def _port(address: str) -> int:
    port = urlsplit(address).port
    assert port is not None
    return port

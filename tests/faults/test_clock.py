"""The wall clock of one process jumps by an hour under load: nothing is lost, refused, late or out of order for it.

Order is numbers, what parts must agree on is told by the clock of Redis, and rows of rooms are dated by their offset.
A gateway judges when a token ends by its own clock, whatever that says: that is all that a wrong clock changes.
"""

from __future__ import annotations

import random
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.canary import fresh_password
from tests.clients.device import Device
from tests.clients.people import Person, sign_up
from tests.clients.socket import ErrorReply, Socket
from tests.faults import clocks
from tests.faults.clocks import WrongClock
from tests.faults.conftest import Record, times
from tests.faults.crowd import Crowd, Entrance
from tests.faults.functions import Functions
from tests.faults.jumps import Jumps, all_read, edited
from tests.patient import AsyncPatient
from tests.running_stack import Stack, free_ports

pytestmark = [pytest.mark.stack, pytest.mark.quiet, pytest.mark.anyio, pytest.mark.timeout(1800, func_only=True)]
EXPIRED = 109


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    """Right until it is set."""
    return WrongClock(tmp_path)


@pytest.fixture
def jumps(stack: Stack, functions: Functions, chance: random.Random, record: Record, clock: WrongClock) -> Jumps:
    """With the clock of the test."""
    return Jumps(stack, functions, chance, record, clock)


@pytest.mark.parametrize("function", ["chat-router", "message-store", "archive"])
async def test_a_wrong_clock_of_a_function_changes_nothing(
    stack: Stack, functions: Functions, jumps: Jumps, clock: WrongClock, function: str
) -> None:
    """One of its two instances is an hour off. Reads are answered, and of two edits the later one stays."""
    async with clocks.instance(stack, functions, function, clock), edited(stack) as holds:
        await jumps.judged(f"clock of {function} ± 1 h", times(2), holds)


async def test_a_wrong_clock_of_a_gateway_only_changes_when_tokens_end(
    stack: Stack, jumps: Jumps, clock: WrongClock, tmp_path: Path
) -> None:
    """Whoever is connected talks and reads on. Ahead it takes a new token for expired, 109; behind it lets it in."""
    (pid,), old, port = stack.pids("gateway-1"), _port(stack.gateways[0]), free_ports(1)
    wrong = f"ws://127.0.0.1:{port}/connection/websocket"
    async with clocks.twin(pid, old, port, "/readyz", tmp_path / "gateway.log", clock):

        async def holds(seconds: int, crowd: Crowd) -> None:
            await all_read(crowd)
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
            async with httpx.AsyncClient(transport=AsyncPatient(), timeout=30.0) as http:
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

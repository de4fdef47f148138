"""The two columns of the table of who may call what that have no socket: a token that was revoked, and a deleted user.

Every method is tried: behind the connect that is refused, in the same frame; on a socket that was open at that moment;
and by a server in that user's name.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from chattifier import keys
from chattifier.layout import Layout
from pulsar_data.ids import new_key
from pulsar_data.rpc import METHODS
from tests.clients.device import KEYLESS
from tests.gateway.client import Wire, closed_at_once, session
from tests.patient import AsyncPatient
from tests.running_stack import Stack

from .conftest import Noted
from .house import House, now

pytestmark = [pytest.mark.stack, pytest.mark.anyio, pytest.mark.timeout(180, func_only=True)]
FORCED, INVALID = 3503, 3500


@dataclass(frozen=True)
class Account:
    """Somebody who can go."""

    user: str
    name: str
    password: str = field(repr=False)
    token: str = field(repr=False)


@pytest.fixture
async def auth(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """user-auth."""
    async with httpx.AsyncClient(base_url=stack.auth, transport=AsyncPatient(), timeout=30) as http:
        yield http


async def _sign_up(auth: httpx.AsyncClient) -> Account:
    name, password = f"t{secrets.token_hex(10)}", secrets.token_urlsafe(18)
    account = {"username": name, "password": password}
    (await auth.post("/user/register", json=account)).raise_for_status()
    answer = (await auth.post("/user/login", json=account)).raise_for_status().json()
    return Account(answer["user_id"], name, password, answer["access_token"])


async def _go(auth: httpx.AsyncClient, account: Account, how: str) -> None:
    headers = {"Authorization": f"Bearer {account.token}"}
    if how == "revoked":
        (await auth.post("/user/logout", headers=headers)).raise_for_status()
    else:
        proof = {"password": account.password}
        (await auth.request("DELETE", "/user/me", headers=headers, json=proof)).raise_for_status()


def _calls(house: House, room: str) -> dict[str, dict[str, Any]]:
    """Every method with data that somebody who may do it could send."""
    calls = {method: dict(house.call(method, room)) for method in METHODS}
    return {name: data if name in KEYLESS else {**data, "key": new_key(now())} for name, data in calls.items()}


@asynccontextmanager
async def _in_the_room(stack: Stack, house: House, account: Account) -> AsyncIterator[tuple[str, Wire]]:
    """A room of the owner's with this account as a moderator, and its open socket."""
    room = await house.room("stranger")
    await house.owner.call("member.add", room=room, user=account.user)
    await house.owner.call("member.role", room=room, user=account.user, role="moderator")
    async with session(stack.gateways[-1], account.token) as (wire, _):
        await wire.rpc("room.get", {"room": room})
        yield room, wire


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("how", ["revoked", "deleted"])
async def test_nothing_is_done_for_who_is_gone(
    stack: Stack, house: House, auth: httpx.AsyncClient, noted: Noted, how: str
) -> None:
    """The socket closes with 3503, the token opens none (3500), and no command behind it is looked at."""
    account = await _sign_up(auth)
    async with _in_the_room(stack, house, account) as (room, wire):
        before = (await house.owner.call("room.get", room=room))["head"]
        await _go(auth, account, how)
        assert await wire.closed() == FORCED
    noted(f"an open socket, {how}", FORCED)
    for method, data in _calls(house, room).items():
        call = {"rpc": {"method": method, "data": data}}
        assert await closed_at_once(stack.gateways[0], account.token, call) == INVALID, method
        noted(f"{method}, {how}", INVALID)
    assert (await house.owner.call("room.get", room=room))["head"] == before


@pytest.mark.usefixtures("unharmed")
async def test_no_server_acts_for_a_deleted_user(
    stack: Stack, house: House, auth: httpx.AsyncClient, noted: Noted
) -> None:
    """At once, though it has just acted for them: 404 with every method."""
    account = await _sign_up(auth)
    token = keys.service_token(Layout(stack.data).service_keys, "tests", 600)
    base = stack.gateways[-1].replace("ws://", "http://").removesuffix("/connection/websocket")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=base, transport=AsyncPatient(), headers=headers, timeout=30) as server:
        async with _in_the_room(stack, house, account) as (room, wire):
            call = {"method": "room.get", "data": {"room": room}, "as": account.user}
            assert (await server.post("/api/rpc", json=call)).status_code == 200
            await _go(auth, account, "deleted")
            assert await wire.closed() == FORCED
        for method, data in _calls(house, room).items():
            answer = await server.post("/api/rpc", json={"method": method, "data": data, "as": account.user})
            assert (answer.status_code, answer.json().get("code")) == (404, "user_not_found"), method
            noted(f"{method}, by a server as a deleted user", 404)


@pytest.mark.usefixtures("unharmed")
async def test_nobody_can_be_made_a_member_who_is_gone(
    stack: Stack, house: House, auth: httpx.AsyncClient, noted: Noted
) -> None:
    """402, as for somebody who never was; what is done to one who is a member still is done."""
    account = await _sign_up(auth)
    room = await house.room("owner")
    await house.owner.call("user.get", user=account.user)
    await _go(auth, account, "deleted")
    assert await house.owner.refused("member.add", room=room, user=account.user) == 402
    noted("member.add of a deleted user", 402)
    assert await house.owner.refused("room.create", kind="direct", members=[account.user]) == 402
    noted("room.create with a deleted user", 402)
    assert await house.owner.refused("user.find", username=account.name) == 402
    noted("user.find of a deleted user", 402)

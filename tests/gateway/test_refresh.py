"""`refresh`: a newer token on the live socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from centrifuge import Client

from tests.patient import Patient

from .client import session
from .people import Person, Signer, sign_in, sign_up
from .running import Running, running
from .test_clients import Ears

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]


@pytest.fixture
async def gateway(stack: Any, jwks: Path) -> AsyncIterator[Running]:
    """One that takes the test's own tokens."""
    async with running(stack, jwks) as gateway:
        yield gateway


async def test_a_refreshed_socket_lives_as_long_as_its_new_token(stack: Any, gateway: Running, signer: Signer) -> None:
    """The reply tells when to refresh again; the old expiry passes, the new one closes with 3005."""
    ada = await asyncio.to_thread(sign_up, stack.auth)  # in no room that must be rebuilt first
    now = int(time.time())
    async with session(gateway.url, signer.token(ada, exp=now + 8)) as (wire, connected):
        later = now + 13
        reply = (await wire.patient(refresh={"token": signer.token(ada, exp=later)}))["refresh"]
        assert reply == {"client": connected["client"], "version": connected["version"], "expires": True, "ttl": 1}
        long = signer.token(ada, exp=now + 1000)
        assert 900 < (await wire.patient(refresh={"token": long}))["refresh"]["ttl"] <= 970
        assert "refresh" in await wire.patient(refresh={"token": signer.token(ada, exp=later)})
        assert await wire.closed() == 3005
        assert time.time() >= later


async def test_a_token_that_is_no_good_ends_the_socket(gateway: Running, signer: Signer, people: People) -> None:
    """Wrong, somebody else's, of an unknown session: 3500. Expired, or of before a password was changed: 3005, as the
    session goes on, and a newer token opens it again.
    """
    ada, grace, _ = people
    version = ada.claims["ver"]
    refused = {
        "nothing": "",
        "somebody else's": grace.token,
        "unknown session": signer.token(ada, sid="00000000-0000-4000-8000-000000000000"),
    }
    for what, token in refused.items():
        async with session(gateway.url, ada.token) as (wire, _):
            await wire.send({"refresh": {"token": token}})
            assert await wire.closed() == 3500, what
    for token in (signer.token(ada, exp=int(time.time()) - 5), signer.token(ada, ver=version - 1)):
        async with session(gateway.url, ada.token) as (wire, _):
            await wire.send({"refresh": {"token": token}})
            assert await wire.closed() == 3005


async def test_a_refresh_may_change_to_another_session(stack: Any, gateway: Running) -> None:
    """After it the socket ends with the new session, and no longer with the old one."""
    person = sign_up(stack.auth)
    with httpx.Client(base_url=stack.auth, transport=Patient(), timeout=30) as http:
        second = sign_in(http, person.name, person.password)

        async def log_out(token: str) -> None:
            answer = await asyncio.to_thread(http.post, "/user/logout", headers={"Authorization": f"Bearer {token}"})
            answer.raise_for_status()

        async with session(gateway.url, person.token) as (wire, _), session(gateway.url, person.token) as (old, _):
            assert "refresh" in await wire.patient(refresh={"token": second.token})
            await log_out(person.token)
            assert await old.closed() == 3503
            assert (await wire.ask(ping={}))["ping"] == {}
            await log_out(second.token)
            assert await wire.closed() == 3503


async def test_centrifuge_python_refreshes_by_itself(gateway: Running, signer: Signer, people: People) -> None:
    """At the reported `ttl` it asks its application for a token, and stays connected past the first one's end."""
    asked = asyncio.Event()

    async def fresh() -> str:
        asked.set()
        return signer.token(people[0], exp=int(time.time()) + 600)

    ears = Ears()
    first = signer.token(people[0], exp=int(time.time()) + 32)
    client = Client(gateway.url, events=ears, token=first, get_token=fresh, timeout=15, proxy=None)
    await client.connect()
    try:
        await client.ready(timeout=15)
        await asyncio.wait_for(asked.wait(), 20)
        assert ears.connecting == [0]
        assert not ears.disconnected
    finally:
        await client.disconnect()

"""People who sign up and log in over HTTP, many at once."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.canary import fresh_password
from tests.patient import AsyncPatient

AT_ONCE = 4
"""Argon2 keeps a core busy for each."""
WAIT = 90.0
"""Seconds for an answer: the edge holds a request for 60 s until a sleeping user-auth is awake, and says so then."""


@dataclass(frozen=True)
class Person:
    """A user with a fresh access token, good for a quarter of an hour."""

    user: str
    token: str = field(repr=False)
    session: Session | None = field(default=None, repr=False)
    """By which there are more tokens."""


@dataclass
class Session:
    """One device's way to further access tokens."""

    auth: str
    refresh: str

    async def renew(self) -> str:
        """The next access token. Raises httpx.HTTPError where user-auth does not give one."""
        async with httpx.AsyncClient(base_url=self.auth, timeout=WAIT) as http:
            response = await http.post("/user/refresh", json={"refresh_token": self.refresh})
        tokens: Mapping[str, Any] = response.raise_for_status().json()
        self.refresh = tokens["refresh_token"]
        return str(tokens["access_token"])


async def sign_up(auth: str, count: int) -> list[Person]:
    """So many new people. On this machine each comes from a loopback address of its own, as the limits count them."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one() -> Person:
        async with places:
            return await _sign_up(auth)

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def _sign_up(auth: str) -> Person:
    transport = AsyncPatient(local_address=own_address() if "//127." in auth else None)
    async with httpx.AsyncClient(base_url=auth, transport=transport, timeout=WAIT) as http:
        account = await _register(http)
        login = await _post(http, "/user/login", account)
    return Person(login["user_id"], login["access_token"], Session(auth, login["refresh_token"]))


async def _register(http: httpx.AsyncClient) -> Mapping[str, str]:
    """An account. One of that name may be there already, where the request before a 503 has made it."""
    for _ in range(2):
        account = {"username": f"t{secrets.token_hex(10)}", "password": fresh_password()}
        response = await http.post("/user/register", json=account)
        if response.status_code != httpx.codes.CONFLICT:
            break
    assert response.is_success, f"/user/register answered {response.status_code}: {response.text[:200]}"
    return account


def own_address() -> str:
    """One of the loopback network, by which somebody counts as somebody else."""
    return f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


async def _post(http: httpx.AsyncClient, path: str, body: Mapping[str, str]) -> Mapping[str, Any]:
    response = await http.post(path, json=body)
    assert response.is_success, f"{path} answered {response.status_code}: {response.text[:200]}"
    answer: Mapping[str, Any] = response.json()
    return answer

"""People who sign up and in, as a client program would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import jwt

from tests.patient import registered

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Tokens:
    """What a sign-in gives."""

    access: str
    refresh: str

    @classmethod
    def of(cls, answer: httpx.Response) -> Tokens:
        """The tokens of an answer, which must be a 200."""
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return cls(body["access_token"], body["refresh_token"])

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header."""
        return {"Authorization": f"Bearer {self.access}"}

    @property
    def claims(self) -> dict[str, Any]:
        """What the access token says, unchecked."""
        claims: dict[str, Any] = jwt.decode(self.access, options={"verify_signature": False})
        return claims


@dataclass(frozen=True)
class Person:
    """An account with a name that nobody else has."""

    client: httpx.Client
    user_id: str
    username: str

    def login(self, password: str = PASSWORD, device: str = "") -> Tokens:
        """A new session."""
        return Tokens.of(attempt(self.client, self.username, password, device))


def unique_name() -> str:
    """A username that no other test uses."""
    return f"u{uuid4().hex[:20]}"


def sign_up(client: httpx.Client) -> Person:
    """A new account."""
    answer = registered(lambda: client.post("/user/register", json={"username": unique_name(), "password": PASSWORD}))
    return Person(client, answer.json()["user_id"], answer.json()["username"])


def attempt(client: httpx.Client, username: str, password: str, device: str = "") -> httpx.Response:
    """Try to sign in."""
    return client.post("/user/login", json={"username": username, "password": password, "device": device})


def refresh(client: httpx.Client, token: str) -> httpx.Response:
    """Try to refresh."""
    return client.post("/user/refresh", json={"refresh_token": token})


def me(client: httpx.Client, tokens: Tokens) -> httpx.Response:
    """Ask for one's own profile: 200 while the session lives, 401 after it."""
    return client.get("/user/me", headers=tokens.headers)


def change_profile(client: httpx.Client, tokens: Tokens, **fields: object) -> httpx.Response:
    """Try to change the profile."""
    return client.patch("/user/me", headers=tokens.headers, json=fields)


def change_password(client: httpx.Client, tokens: Tokens, old: str, new: str) -> httpx.Response:
    """Try to change the password."""
    return client.post("/user/password", headers=tokens.headers, json={"old": old, "new": new})


def erase(client: httpx.Client, tokens: Tokens, password: str = PASSWORD) -> httpx.Response:
    """Try to erase the account."""
    return client.request("DELETE", "/user/me", headers=tokens.headers, json={"password": password})


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]

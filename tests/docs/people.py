"""People for pages and examples."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import httpx

from tests.canary import fresh_password
from tests.patient import Patient, registered


@dataclass(frozen=True)
class Reader:
    """Somebody with an account and a fresh access token."""

    user: str
    name: str
    password: str = field(repr=False)
    token: str = field(repr=False)


def sign_up(auth: str, name: str) -> Reader:
    """A new person, whose user name begins so."""
    password = fresh_password()
    with httpx.Client(base_url=auth, transport=Patient(), timeout=60) as http:
        body = {"password": password}
        made = registered(
            lambda: http.post("/user/register", json=body | {"username": f"{name}-{uuid.uuid4().hex[:12]}"})
        )
        username = made.json()["username"]
        login = http.post("/user/login", json={"username": username, "password": password}).raise_for_status().json()
    return Reader(login["user_id"], username, password, login["access_token"])

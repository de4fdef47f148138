"""People with accounts on the stack, rooms they meet in, and keys of the test's own."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from pulsar_data.ids import new_key
from tests.canary import fresh_password
from tests.patient import Patient, registered

from .client import Wire

KID = "test-key"


@dataclass(frozen=True)
class Person:
    """Somebody who has signed up and in."""

    id: str
    name: str
    password: str
    token: str

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says."""
        claims: dict[str, Any] = jwt.decode(self.token, options={"verify_signature": False})
        return claims


def sign_up(auth: str) -> Person:
    """A new person."""
    password = fresh_password()
    with httpx.Client(base_url=auth, transport=Patient(), timeout=30) as http:
        body = {"password": password}
        made = registered(lambda: http.post("/user/register", json=body | {"username": f"p-{uuid.uuid4().hex[:20]}"}))
        return sign_in(http, made.json()["username"], password)


def sign_in(http: httpx.Client, name: str, password: str) -> Person:
    """Another session of a person."""
    answer = http.post("/user/login", json={"username": name, "password": password}).raise_for_status().json()
    return Person(answer["user_id"], name, password, answer["access_token"])


def key() -> str:
    """A fresh idempotency key."""
    return new_key(int(time.time() * 1000))


async def make_room(wire: Wire, *members: Person) -> str:
    """A group of the wire's user and others; the wire has been told that it is in."""
    data = {"key": key(), "kind": "group", "name": "tests", "members": [member.id for member in members]}
    room: str = (await wire.rpc("room.create", data))["room"]
    await wire.until(lambda: any("subscribe" in p and p["channel"] == f"room:{room}" for p in wire.pushes))
    return room


async def say(wire: Wire, room: str, text: str = "hello") -> dict[str, Any]:
    """A message; its numbers."""
    return await wire.rpc("message.send", {"room": room, "key": key(), "text": text})


class Signer:
    """A key of the test's own, published beside those of the stack."""

    def __init__(self, auth: str, path: Path) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.path = path
        published = httpx.get(f"{auth}/.well-known/jwks.json", trust_env=False).raise_for_status().json()
        own = json.loads(OKPAlgorithm.to_jwk(self.key.public_key())) | {"kid": KID, "alg": "EdDSA", "use": "sig"}
        self.jwks = {"keys": [*published["keys"], own]}
        path.write_text(json.dumps(self.jwks))

    def token(self, person: Person, *, kid: str = KID, **changes: object) -> str:
        """A person's token with other claims."""
        return jwt.encode(person.claims | changes, self.key, algorithm="EdDSA", headers={"kid": kid})

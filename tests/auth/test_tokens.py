"""Access tokens that must not be believed, and keys that change."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .conftest import Start
from .function import Function, make_key
from .people import Tokens, code, me, sign_up

pytestmark = pytest.mark.stack

Forge = Callable[[dict[str, Any]], str]


def signed(claims: dict[str, Any], key: Ed25519PrivateKey, kid: str = "first") -> Tokens:
    """A token as ours, of any claims and key."""
    return Tokens(jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": kid}), "")


def raw(header: object, claims: object) -> Tokens:
    """A token without a signature."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return Tokens(".".join([*parts, ""]), "")


@pytest.fixture(scope="module")
def own_key(function: Function) -> Ed25519PrivateKey:
    """A key of the function that sorts first, so that it verifies and never signs."""
    key = make_key(function.keys, "a-key-of-the-test")
    with function.client() as client:
        _until(lambda: "a-key-of-the-test" in _kids(client))
    return key


def test_a_token_of_another_key_or_none_is_refused(client: httpx.Client) -> None:
    claims = sign_up(client).login().claims
    foreign = Ed25519PrivateKey.generate()
    for tokens in (
        signed(claims, foreign),
        signed(claims, foreign, kid="unknown"),
        raw({"alg": "none", "typ": "JWT", "kid": "first"}, claims),
        raw({"alg": "none"}, claims),
        Tokens(jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"kid": "first"}), ""),
        Tokens("a.b.c", ""),
        Tokens(base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30.", ""),
    ):
        assert code(me(client, tokens)) == (401, "invalid_token")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"exp": 1}, "token_expired"),
        ({"iss": "somebody"}, "invalid_token"),
        ({"aud": "somebody"}, "invalid_token"),
        ({"sub": "not an id"}, "invalid_token"),
        ({"sub": str(uuid4())}, "session_ended"),
        ({"sid": str(uuid4())}, "session_ended"),
        ({"ver": 1}, "session_ended"),
        ({"ver": "1"}, "invalid_token"),
    ],
)
def test_a_well_signed_token_of_wrong_claims_is_refused(
    client: httpx.Client, own_key: Ed25519PrivateKey, change: dict[str, Any], expected: str
) -> None:
    claims = sign_up(client).login().claims
    assert me(client, signed(claims, own_key, "a-key-of-the-test")).status_code == 200, "the key is believed"
    answer = me(client, signed({**claims, **change}, own_key, "a-key-of-the-test"))
    assert code(answer) == (401, expected)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["", "Bearer", "Basic dTpw", "bearer\tx", "Bearer ä"])
def test_a_request_without_a_bearer_token_is_refused(client: httpx.Client, header: str) -> None:
    answer = client.get("/user/me", headers=[(b"Authorization", header.encode())])
    assert code(answer) == (401, "invalid_token")


def test_the_key_that_sorts_last_signs_and_all_verify_as_the_folder_changes(start: Start) -> None:
    function = start({})
    with function.client() as client:
        person = sign_up(client)
        old = person.login()
        make_key(function.keys, "second")
        _until(lambda: _kids(client) == ["first", "second"])
        new = person.login()
        assert jwt.get_unverified_header(old.access)["kid"] == "first"
        assert jwt.get_unverified_header(new.access)["kid"] == "second"
        assert me(client, old).status_code == me(client, new).status_code == 200
        (function.keys / "first.pem").unlink()
        _until(lambda: _kids(client) == ["second"])
        assert code(me(client, old)) == (401, "invalid_token")
        (function.keys / "third.pem").write_text("not a key")
        assert me(client, new).status_code == 200, "a folder that cannot be read keeps the keys that could"


def test_a_key_that_was_just_made_is_published_and_does_not_sign_yet(start: Start) -> None:
    function = start({})
    with function.client() as client:
        person = sign_up(client)
        new = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        make_key(function.keys, new)
        _until(lambda: sorted(_kids(client)) == sorted(["first", new]))
        assert jwt.get_unverified_header(person.login().access)["kid"] == "first"


def _kids(client: httpx.Client) -> list[str]:
    return [key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "not within ten seconds"
        time.sleep(0.05)

"""Access tokens that somebody made, at each door that takes one: the socket, user-auth, the edge before user-auth.

Each is told no, in the way of that door, and learns nothing else. All are signed, where they are signed well, with the
stack's own key: what is refused is what was changed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from jwt.algorithms import OKPAlgorithm

from tests.gateway.client import Wire, session
from tests.gateway.people import Person, sign_up
from tests.http_server import Quiet, http_server
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio, pytest.mark.usefixtures("unharmed", "unread")]
Header = Mapping[str, Any]
HEADER = 8190
"""Bytes of a header that user-auth reads; the edge reads 16 KiB."""


@dataclass(frozen=True)
class Forge:
    """The stack's signing key, and somebody's claims to begin with."""

    person: Person
    key: Ed25519PrivateKey
    kid: str

    @classmethod
    def of(cls, stack: Stack) -> Forge:
        """With somebody new."""
        path: Path = max((stack.data / "keys" / "signing").glob("*.pem"))
        key = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, Ed25519PrivateKey)
        return cls(sign_up(stack.auth), key, path.stem)

    def signed(self, header: Header | None = None, **claims: Any) -> str:
        """A token with the right signature, and what is given here otherwise."""
        merged = {name: value for name, value in {**self.person.claims, **claims}.items() if value is not None}
        return jwt.encode(merged, self.key, algorithm="EdDSA", headers={"kid": self.kid, **(header or {})})

    def parts(self, header: Header, signature: bytes = b"") -> str:
        """A token put together by hand."""
        body = (json.dumps(part).encode() for part in (header, self.person.claims))
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*body, signature))


@dataclass(frozen=True)
class Theirs:
    """The key of somebody else, where a token can lead to it: a server, a file. What the server is asked is noted."""

    key: Ed25519PrivateKey
    jwk: Mapping[str, Any]
    certificate: str
    """DER, base64."""
    file: Path
    url: str
    asked: list[str]

    @classmethod
    @contextmanager
    def within_reach(cls, folder: Path) -> Iterator[Theirs]:
        """For as long as the server runs."""
        key, asked = Ed25519PrivateKey.generate(), list[str]()
        jwk = json.loads(OKPAlgorithm.to_jwk(key.public_key())) | {"kid": "theirs", "alg": "EdDSA", "use": "sig"}
        certificate, file = _certificate(key), folder / "theirs.pem"
        file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        pages = {"/keys": json.dumps({"keys": [jwk]}).encode(), "/cert": certificate.public_bytes(Encoding.PEM)}

        class Door(Quiet):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(pages[self.path])

        with http_server(Door) as url:
            der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
            yield cls(key, jwk, der, file, url, asked)


def _certificate(key: Ed25519PrivateKey) -> x509.Certificate:
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "theirs")]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return made.sign(key, None)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    """One for all doors."""
    with Theirs.within_reach(tmp_path_factory.mktemp("theirs")) as theirs:
        yield theirs


@pytest.fixture
def unread(theirs: Theirs) -> Iterator[None]:
    """Nobody has gone where a token led."""
    yield
    assert not theirs.asked


def _forged(forge: Forge, theirs: Theirs) -> Iterator[tuple[str, str]]:
    public = forge.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    pem = forge.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = forge.signed()
    head, claims, signature = good.split(".")
    for name in ("none", "None", "NONE", "nOnE", "", None):
        yield f"alg {name!r}, unsigned", forge.parts({"alg": name, "kid": forge.kid, "typ": "JWT"})
        yield f"alg {name!r}, signed", forge.parts({"alg": name, "kid": forge.kid}, _signature(good))
    for secret in (public, pem, base64.urlsafe_b64encode(public)):
        yield "HS256 by the public key", _hs256(forge, secret)
    for kid in (
        "../../../../dev/null",
        "/etc/hostname",
        "x' OR '1'='1",
        "http://127.0.0.1/key",
        "k" * 10_000,
        "\x00",
        "",
    ):
        yield f"kid {kid[:20]!r}", forge.signed({"kid": kid})
    yield "kid that is no string", forge.parts({"alg": "EdDSA", "kid": {"a": 1}}, _signature(good))
    for kid in (
        str(theirs.file),
        f"../../../../../../../..{theirs.file}",
        f"file://{theirs.file}",
        f"{theirs.url}/keys",
    ):
        yield f"kid that leads to their key: {kid[:20]}", _signed_by(theirs, forge, {"kid": kid})
    for name, value in (
        ("jwk", theirs.jwk),
        ("jku", f"{theirs.url}/keys"),
        ("x5u", f"{theirs.url}/cert"),
        ("x5c", [theirs.certificate]),
    ):
        yield f"{name} of their own", _signed_by(theirs, forge, {"kid": "theirs", name: value})
        yield f"{name} beside our kid", _signed_by(theirs, forge, {"kid": forge.kid, name: value})
    yield "crit that nobody knows", forge.signed({"crit": ["exp2"], "exp2": 1})
    yield "two parts", f"{head}.{claims}"
    yield "four parts", f"{good}.{signature}"
    yield "cut signature", good[:-4]
    yield "empty signature", f"{head}.{claims}."
    yield "changed claims", f"{head}.{_with(claims, sub=str(uuid.uuid4()))}.{signature}"
    yield "garbage", "A" * 1000
    yield "another issuer", forge.signed(iss="https://elsewhere.example")
    yield "another audience", forge.signed(aud="elsewhere")
    yield "no audience", forge.signed(aud=None)
    yield "no expiry", forge.signed(exp=None)
    yield "expiry that is no number", forge.signed(exp="never")
    yield "not yet", forge.signed(nbf=int(time.time()) + 3600)
    yield "of tomorrow", forge.signed(iat=int(time.time()) + 86_400)
    yield "no user", forge.signed(sub=None)
    yield "a user that is none", forge.signed(sub="' OR 1=1 --")
    yield "the product's own user", forge.signed(sub="00000000-0000-0000-0000-000000000000")
    yield "no session", forge.signed(sid=None)
    yield "no version", forge.signed(ver=None)


def _signed_by(theirs: Theirs, forge: Forge, headers: Header) -> str:
    return jwt.encode(forge.person.claims, theirs.key, algorithm="EdDSA", headers=dict(headers))


def _signature(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")


def _with(claims: str, **changes: Any) -> str:
    changed = {**json.loads(base64.urlsafe_b64decode(claims + "==")), **changes}
    return base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()


def _hs256(forge: Forge, secret: bytes) -> str:
    """By hand: the library refuses to sign with what looks like a public key."""
    unsigned = forge.parts({"alg": "HS256", "kid": forge.kid}).rpartition(".")[0]
    return f"{unsigned}.{_encoded(hmac.new(secret, unsigned.encode(), hashlib.sha256).digest())}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def forge(stack: Stack) -> Forge:
    """One for all doors."""
    return Forge.of(stack)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(params=["auth", "edge"])
async def door(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """user-auth, and the edge before it."""
    place = getattr(stack, request.param)
    async with httpx.AsyncClient(base_url=place, timeout=30, trust_env=False) as client:
        yield client


async def test_no_forged_token_opens_a_socket(stack: Stack, forge: Forge, theirs: Theirs) -> None:
    """Closed with 3500, which no SDK tries again; nothing is pushed before that."""
    for what, token in _forged(forge, theirs):
        async with Wire.open(stack.gateways[0]) as wire:
            await wire.send({"connect": {"token": token}})
            assert await wire.closed() == 3500, what
            assert wire.pushes == [], what


async def test_no_forged_token_is_taken_over_http(forge: Forge, theirs: Theirs, door: httpx.AsyncClient) -> None:
    """401, a problem that says invalid_token, or session_ended where only the session is not there; 431 for a header
    that is too large to be looked at.
    """
    for what, token in _forged(forge, theirs):
        answer = await door.get("/user/me", headers=_bearer(token))
        if len(token) > HEADER and answer.status_code == 431:
            continue
        assert answer.status_code == 401, f"{what}: {answer.status_code} {answer.text[:200]}"
        assert answer.json()["code"] in ("invalid_token", "session_ended"), what


async def test_a_token_of_a_megabyte_is_turned_away(stack: Stack, forge: Forge, door: httpx.AsyncClient) -> None:
    """At the socket by the limit on frames or as no token, over HTTP as a header that is too large."""
    huge = forge.signed({"pad": "x" * 1_000_000})
    async with Wire.open(stack.gateways[0]) as wire:
        await wire.send({"connect": {"token": huge}})
        assert await wire.closed() in (1009, 3500)
    try:
        answer = await door.get("/user/me", headers=_bearer(huge))
    except (httpx.RemoteProtocolError, httpx.WriteError, httpx.ReadError):
        return  # cut while it was still being sent
    assert answer.status_code in (400, 401, 413, 431)


async def test_an_expired_token_is_called_so(forge: Forge, stack: Stack, door: httpx.AsyncClient) -> None:
    """An SDK fetches a new one then. A minute ago is enough: clocks of ours are allowed less."""
    expired = forge.signed(iat=int(time.time()) - 1000, exp=int(time.time()) - 90)
    assert (await door.get("/user/me", headers=_bearer(expired))).json()["code"] == "token_expired"
    async with Wire.open(stack.gateways[0]) as wire:
        assert await wire.error(connect={"token": expired}) == 109


async def test_what_was_not_changed_is_let_in(forge: Forge, stack: Stack, door: httpx.AsyncClient) -> None:
    """So that all of the above was refused for what was changed."""
    assert (await door.get("/user/me", headers=_bearer(forge.signed()))).status_code == 200
    async with session(stack.gateways[0], forge.signed()):
        pass

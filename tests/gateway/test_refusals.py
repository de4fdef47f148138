"""Whatever a client does wrong has a designed answer; the gateway and everybody else live on."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pulsar_data.ids import new_key

from .client import Wire, session
from .people import KID, Person, Signer, key, make_room
from .running import running

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]


@pytest.fixture
async def url(stack: Any, jwks: Path) -> AsyncIterator[str]:
    """A gateway that knows the test's key besides the stack's."""
    async with running(stack, jwks) as gateway:
        yield gateway.url


def _tokens(signer: Signer, person: Person) -> Iterator[tuple[str, str]]:
    claims = person.claims
    other = Ed25519PrivateKey.generate()
    public = signer.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    yield "none at all", ""
    yield "no token", "hello"
    yield "three dots", "..."
    yield "nested", jwt.utils.base64url_encode(b"[" * 6000).decode() + ".e30.e30"
    yield "alg none", jwt.encode(claims, "", algorithm="none", headers={"kid": KID})
    yield "public key as secret", jwt.encode(claims, public, algorithm="HS256", headers={"kid": KID})
    yield "wrong key", jwt.encode(claims, other, algorithm="EdDSA", headers={"kid": KID})
    yield "unknown kid", signer.token(person, kid="nobody")
    yield "no kid", jwt.encode(claims, signer.key, algorithm="EdDSA")
    yield "long kid", signer.token(person, kid="k" * 10_000)
    yield "foreign issuer", signer.token(person, iss="somebody")
    yield "foreign audience", signer.token(person, aud="somebody")
    yield "no user", signer.token(person, sub="root")
    yield "odd version", signer.token(person, ver="1")
    yield "unknown session", signer.token(person, sid=str(uuid.uuid4()))
    yield "unknown user", signer.token(person, sub=str(uuid.uuid4()))


async def test_every_token_that_is_no_good_is_closed_with_3500(url: str, signer: Signer, people: People) -> None:
    """Whatever is wrong with it, the client learns nothing but that, and must not come again."""
    for what, token in _tokens(signer, people[0]):
        async with Wire.open(url) as wire:
            await wire.send({"connect": {"token": token}})
            assert await wire.closed() == 3500, what
            assert wire.pushes == [], what


async def test_an_expired_token_is_told_from_a_wrong_one(url: str, signer: Signer, people: People) -> None:
    """Error 109: the SDK gets a new token and comes back. The socket is good for nothing else then."""
    async with Wire.open(url) as wire:
        assert await wire.error(connect={"token": signer.token(people[0], exp=int(time.time()) - 1)}) == 109
        await wire.send({"connect": {"token": people[0].token}})
        assert await wire.closed() == 3501


async def test_the_test_key_itself_is_good(url: str, signer: Signer, people: People) -> None:
    """So that the refusals above are refusals of what was changed."""
    async with session(url, signer.token(people[0])) as (wire, _):
        assert (await wire.ask(ping={}))["ping"] == {}


@pytest.mark.parametrize(
    "frame",
    ["", "x", "{", "[]", "5", '{"id":1,"rpc":{}}', '{"id":0,"connect":{}}', '{"connect":{}}', "{}", b"\xff\x00"],
    ids=repr,
)
async def test_what_is_no_connect_is_closed_with_3501(url: str, frame: str | bytes) -> None:
    """Bytes that are not the protocol, or a command before its time."""
    async with Wire.open(url) as wire:
        await wire.socket.send(frame)
        assert await wire.closed() == 3501


@pytest.mark.parametrize(
    "frame",
    ['{"id":9,"connect":{}}', "{}", '{"id":9', '{"rpc":{}}', '{"id":-1,"ping":{}}', "[" * 60_000, b"\x00", " \n "],
    ids=lambda frame: repr(frame)[:24],
)
async def test_no_protocol_in_a_session_is_closed_with_3501(url: str, people: People, frame: str | bytes) -> None:
    """A second connect and an unasked pong are no protocol either."""
    async with session(url, people[0].token) as (wire, _):
        await wire.socket.send(frame)
        assert await wire.closed() == 3501


async def test_wrong_commands_are_answered_and_the_socket_lives(url: str, people: People) -> None:
    """Each with its code; the next command works."""
    async with session(url, people[0].token) as (wire, _):
        room = await make_room(wire)
        assert await wire.error(rpc={"method": "no.such"}) == 104
        assert await wire.error(dance={}) == 107
        assert await wire.error(rpc=7) == 107
        assert await wire.error(rpc={"method": "message.send"}) == 107
        send = {"room": room, "key": key(), "text": "x"}
        assert await wire.error(rpc={"method": "message.send", "data": send | {"extra": 1}}) == 107
        assert await wire.error(rpc={"method": "message.send", "data": send | {"key": str(uuid.uuid4())}}) == 107
        ahead = new_key(int(time.time() * 1000) + 400_000)
        assert await wire.error(rpc={"method": "message.send", "data": send | {"key": ahead}}) == 107
        assert await wire.error(rpc={"method": "message.send", "data": send | {"text": "x" * 4001}}) in (106, 107)
        assert await wire.error(rpc={"method": "message.send", "data": send | {"text": "x" * 70_000}}) == 106
        for never in ("publish", "sub_refresh"):
            assert await wire.error(**{never: {"channel": f"room:{room}"}}) == 108
        for channel in ("history", "presence", "presence_stats"):
            assert await wire.error(**{channel: {"channel": "lobby"}}) == 102
            assert await wire.error(**{channel: {"channel": 7}}) == 107
        assert (await wire.ask(ping={}))["ping"] == {}


async def test_a_half_emoji_is_refused_under_its_id(url: str, people: People) -> None:
    """What JavaScript makes of a text cut in the middle is an error reply, not the end of the socket."""
    async with session(url, people[0].token) as (wire, _):
        reply = await wire.ask(rpc={"method": "message.send", "data": {"text": "\ud83d"}})
        assert reply["error"]["code"] == 107


async def test_a_frame_over_one_mebibyte_is_closed_with_1009(url: str, people: People) -> None:
    """And the client can read why."""
    async with session(url, people[0].token) as (wire, _):
        await wire.socket.send("x" * (1024 * 1024 + 1))
        assert await wire.closed() == 1009


async def test_the_first_frame_may_be_large(url: str, people: People) -> None:
    """Positions of two thousand rooms fit, as many as one may be in; rooms one is not in are ignored."""
    subs = {f"room:{uuid.uuid4()}": {"recover": True, "epoch": "1", "offset": 1} for _ in range(2000)}
    assert len(json.dumps(subs)) > 160_000
    async with session(url, people[0].token, subs=subs) as (_, connected):
        assert not subs.keys() & connected["subs"].keys()


@asynccontextmanager
async def _watched(url: str, person: Person) -> AsyncIterator[None]:
    """A bystander whose socket must live through whatever happens inside."""
    async with session(url, person.token) as (wire, _):
        yield
        assert (await wire.ask(ping={}))["ping"] == {}


async def test_a_bystander_never_notices(url: str, people: People) -> None:
    """One client does everything wrong; another one's socket and room work on."""
    async with _watched(url, people[1]):
        for frame in ("[" * 100_000, b"\xff" * 1000, '{"id":1,"connect":{"token":' + '"x"' + "}}", "x" * 1_100_000):
            async with Wire.open(url) as wire:
                await wire.socket.send(frame)
                assert await wire.closed() in (1009, 3500, 3501)

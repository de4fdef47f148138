"""Tokens of external issuers open sockets like ours; their users are made on first sight."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from pulsar_data import ids
from socket_gateway import issuers
from socket_gateway.settings import ExternalIssuer, Settings

from .client import Wire, session
from .issuer import AUDIENCE, NAME, SECRET, Issuer, serving
from .people import Person, say
from .running import Running, running

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """One that runs, with one key."""
    issuer = Issuer()
    issuer.add("first")
    with serving(issuer):
        yield issuer


@pytest.fixture
async def gateway(stack: Any, jwks: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """One that trusts the issuer, and looks at unknown keys again soon."""
    monkeypatch.setattr(issuers, "PAUSE", 0.3)
    trusted = ExternalIssuer(issuer=NAME, jwks_url=issuer.url, audience=AUDIENCE)
    async with running(stack, jwks, external_issuers=(trusted,)) as gateway:
        yield gateway


def _someone() -> str:
    return f"customer|{uuid.uuid4()}"


async def test_a_user_of_an_external_issuer_is_made_on_first_sight_and_talks(
    gateway: Running, issuer: Issuer, people: People
) -> None:
    """The same user for ever, whatever the token; with ours in one room, both ways."""
    who = _someone()
    user = ids.external_user(NAME, who)
    async with (
        session(gateway.url, issuer.token(who, name="Grace H.")) as (wire, connected),
        session(gateway.url, people[0].token) as (ours, _),
    ):
        assert connected["data"]["user"]["user_id"] == user
        assert connected["data"]["user"]["display_name"] == "Grace H."
        assert connected["subs"][f"user:{user}"] == {}
        made = await ours.rpc("room.create", _room(user))
        room = made["room"]
        await wire.until(lambda: any(push["channel"] == f"room:{room}" for push in wire.pushes))
        sent = [(await say(wire, room))["offset"], (await say(ours, room))["offset"]]
        for one in (wire, ours):
            await one.heard(room, 2)
            assert one.offsets(room) == sent
    async with session(gateway.url, issuer.token(who)) as (wire, connected):
        assert connected["data"]["user"]["display_name"] == "Grace H."
        assert f"room:{room}" in connected["subs"]
        assert "refresh" in await wire.patient(refresh={"token": issuer.token(who)})
        await wire.send({"refresh": {"token": issuer.token(_someone())}})
        assert await wire.closed() == 3500


def _room(user: str) -> dict[str, Any]:
    return {"key": ids.new_key(int(time.time() * 1000)), "kind": "group", "name": "mixed", "members": [user]}


async def test_two_first_tokens_at_once_make_one_user(gateway: Running, issuer: Issuer) -> None:
    """Five devices sign in in the same moment."""
    who = _someone()

    async def profile() -> Any:
        async with session(gateway.url, issuer.token(who)) as (_, connected):
            return connected["data"]["user"]

    profiles = await asyncio.gather(*(profile() for _ in range(5)))
    assert profiles == [profiles[0]] * 5


async def test_other_tokens_are_no_better_than_any(gateway: Running, issuer: Issuer) -> None:
    """An issuer nobody has named, another audience, a missing or odd user claim, a shared secret: 3500."""
    who = _someone()
    now = int(time.time())
    claims = {"iss": NAME, "aud": AUDIENCE, "sub": who, "iat": now, "exp": now + 600}
    refused = {
        "unknown issuer": issuer.token(who, iss="https://other.example.org/"),
        "issuer without its slash": issuer.token(who, iss=NAME.rstrip("/")),
        "another audience": issuer.token(who, aud="shop"),
        "no audience": issuer.token(who, aud=None),
        "no user": issuer.token(""),
        "a very long user": issuer.token("x" * 300),
        "without an end": issuer.token(who, exp=None),
        "a shared secret": jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "shared"}),
        "unsigned": jwt.encode(claims, "", algorithm="none", headers={"kid": "first"}),
    }
    async with session(gateway.url, issuer.token(who)):
        for what, token in refused.items():
            assert await _refused(gateway.url, token) == 3500, what
    async with Wire.open(gateway.url) as wire:
        assert await wire.error(connect={"token": issuer.token(who, iat=now - 900, exp=now - 60)}) == 109
    async with Wire.open(gateway.url) as wire:  # in a moment it will be good
        assert await wire.error(connect={"token": issuer.token(who, iat=now + 60)}) == 100


async def test_keys_rotate_while_the_gateway_runs(gateway: Running, issuer: Issuer) -> None:
    """A new key works after a moment (error 100, temporary, until then), a stranger's never, without a storm."""
    who = _someone()
    async with session(gateway.url, issuer.token(who)):
        issuer.add("second", "RS256")
        async with session(gateway.url, issuer.token(who)), session(gateway.url, issuer.token(who, kid="first")):
            stranger = Issuer()
            stranger.add("third")
            asked = issuer.asked
            assert await _refused(gateway.url, stranger.token(who)) == 3500
            assert issuer.asked <= asked + 10


async def test_an_issuer_that_is_away_is_waited_for(gateway: Running, issuer: Issuer) -> None:
    """Known keys go on working; a token of an unknown one is neither let in nor sent away for good."""
    who = _someone()
    async with session(gateway.url, issuer.token(who)):
        issuer.works = False
        issuer.add("second")
        async with Wire.open(gateway.url) as wire:
            (reply,) = await asyncio.gather(*await wire.send({"connect": {"token": issuer.token(who)}}))
            assert reply["error"]["code"] == 100
            assert reply["error"]["temporary"]
        async with session(gateway.url, issuer.token(who, kid="first")):
            pass
        issuer.works = True
        async with session(gateway.url, issuer.token(who)):
            pass


async def _refused(url: str, token: str) -> int:
    """The close code; a temporary error is tried again, as an SDK does."""
    async with asyncio.timeout(15):
        while True:
            async with Wire.open(url) as wire:
                (reply,) = await wire.send({"connect": {"token": token}})
                await wire.until(lambda: reply.done() or wire.over)  # noqa: B023 - waited for at once
                if not reply.done() or reply.cancelled():
                    return await wire.closed()
                assert reply.result()["error"]["temporary"]
            await asyncio.sleep(0.1)


def test_issuers_are_read_from_the_environment_or_refused_with_words() -> None:
    """A JSON list; what is wrong is named."""
    environ = {"CHATTIFIER_JWKS_FILE": "jwks.json"}
    good = '[{"issuer": "https://id", "jwks_url": "https://id/keys", "audience": "chat", "user_claim": "uid"}]'
    (issuer,) = Settings.of(environ | {"CHATTIFIER_EXTERNAL_ISSUERS": good}).external_issuers
    assert (issuer.issuer, issuer.user_claim) == ("https://id", "uid")
    assert Settings.of(environ).external_issuers == ()
    twice = f"[{good[1:-1]},{good[1:-1]}]"
    for wrong in ("x", "{}", '[{"issuer": "a"}]', good.replace("https://id/keys", "ftp://id"), twice):
        with pytest.raises(ValueError, match="CHATTIFIER_EXTERNAL_ISSUERS"):
            Settings.of(environ | {"CHATTIFIER_EXTERNAL_ISSUERS": wrong})

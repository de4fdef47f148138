"""Signing in."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from redis import Redis

from pulsar_data import redis_keys
from pulsar_data.model import UserId
from pulsar_data.tokens import AccessClaims

from .people import PASSWORD, attempt, code, erase, me, sign_up, unique_name

if TYPE_CHECKING:
    from cassandra.cluster import Session

pytestmark = pytest.mark.stack


def test_the_access_token_holds_the_claims_of_the_contract_and_the_published_key_verifies_it(
    client: httpx.Client,
) -> None:
    person = sign_up(client)
    answer = attempt(client, person.username, "correct horse battery")
    token = answer.json()["access_token"]
    keys = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    decoded = jwt.decode(token, key, algorithms=["EdDSA"], audience="chattifier", issuer="chattifier")
    claims = AccessClaims.model_validate(decoded)
    assert decoded.keys() == AccessClaims.model_fields.keys()
    assert claims.sub == answer.json()["user_id"] == person.user_id
    assert claims.exp - claims.iat == answer.json()["expires_in"] == 900
    assert answer.json()["token_type"] == "Bearer"


def test_a_session_is_stored_with_its_device_and_only_a_digest(client: httpx.Client, cassandra: Session) -> None:
    person = sign_up(client)
    tokens = person.login(device="my phone")
    row = cassandra.execute("SELECT * FROM sessions_by_user WHERE user_id = %s", [UUID(person.user_id)]).one()
    assert (str(row.session_id), row.device) == (tokens.claims["sid"], "my phone")
    assert row.token_version == tokens.claims["ver"]
    assert len(row.refresh_hash) == 32 and row.refresh_hash.hex() not in tokens.refresh


def test_a_new_session_makes_others_forget_what_they_remember_of_the_user(client: httpx.Client, redis: Redis) -> None:
    person = sign_up(client)
    key = redis_keys.token_version(UserId(person.user_id))
    redis.hset(key, "version", 1)
    person.login()
    assert not redis.exists(key)


def test_the_name_may_be_typed_in_any_spelling(client: httpx.Client) -> None:
    person = sign_up(client)
    assert attempt(client, person.username.upper(), "correct horse battery").status_code == 200


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(client: httpx.Client) -> None:
    person = sign_up(client)
    wrong = attempt(client, person.username, "not the password")
    for name in (unique_name(), "", "no such name", "x" * 33, "x" * 1000, "\u0300" * 2000 + "\u0316" * 2000):
        unknown = attempt(client, name, "not the password")
        assert unknown.content == wrong.content
        assert unknown.headers.keys() == wrong.headers.keys()
    assert code(wrong) == (401, "bad_credentials")


def test_an_account_without_a_password_cannot_be_signed_in_to(client: httpx.Client, cassandra: Session) -> None:
    """Somebody else vouches for its user: its row has no hash, no version and no time."""
    name, user_id = unique_name(), uuid4()
    cassandra.execute("INSERT INTO usernames (username, user_id) VALUES (%s, %s) IF NOT EXISTS", [name, user_id])
    cassandra.execute("INSERT INTO users_by_id (user_id, username, state) VALUES (%s, %s, 'active')", [user_id, name])
    for password in (PASSWORD, "", "None"):
        assert code(attempt(client, name, password)) == (401, "bad_credentials")


def test_sessions_of_two_devices_live_side_by_side(client: httpx.Client) -> None:
    person = sign_up(client)
    one, other = person.login(), person.login()
    assert one.claims["sid"] != other.claims["sid"]
    assert me(client, one).status_code == me(client, other).status_code == 200


@pytest.mark.quiet
def test_a_wrong_password_an_unknown_name_and_an_erased_one_take_the_same_time(client: httpx.Client) -> None:
    """Medians within a tenth, alternating, so that whatever else the machine does falls on both alike.

    One quiet round of ten is enough: a real difference, the hash left out for nobody, say, shows in all of them.
    """
    person, gone = sign_up(client), sign_up(client)
    assert erase(client, gone.login()).status_code == 204
    rounds: list[list[float]] = []
    while len(rounds) < 10:
        rounds.append(medians := _medians(client, person.username, gone.username))
        if max(medians) - min(medians) < 0.1 * min(medians):
            return
    pytest.fail(f"(known, erased, nobody) in ms: {rounds}")


def _medians(client: httpx.Client, *usernames: str) -> list[float]:
    """Milliseconds for a wrong password of each of these names, and of names that nobody has."""
    times: dict[str, list[float]] = {name: [] for name in (*usernames, "")}
    for _ in range(40):
        for name, taken in times.items():
            taken.append(_milliseconds(client, name or unique_name()))
    return [statistics.median(taken) for taken in times.values()]


def _milliseconds(client: httpx.Client, username: str) -> float:
    begun = time.perf_counter()
    assert attempt(client, username, "not the password").status_code == 401
    return (time.perf_counter() - begun) * 1000

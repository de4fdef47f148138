"""One's own profile."""

from __future__ import annotations

import httpx
import pytest
from redis import Redis

from pulsar_data import redis_keys
from pulsar_data.model import UserId

from .people import change_profile, code, me, sign_up
from .revocations import RevocationLog

pytestmark = pytest.mark.stack


def test_a_change_keeps_what_was_not_sent_and_an_empty_text_clears(client: httpx.Client) -> None:
    tokens = sign_up(client).login()
    change_profile(client, tokens, display_name="Ada", bio="Counts.")
    changed = change_profile(client, tokens, display_name="")
    assert (changed.json()["display_name"], changed.json()["bio"]) == ("", "Counts.")
    assert me(client, tokens).json() == changed.json()


def test_a_change_makes_others_forget_the_old_profile(client: httpx.Client, redis: Redis) -> None:
    person = sign_up(client)
    tokens, key = person.login(), redis_keys.token_version(UserId(person.user_id))
    redis.hset(key, "username", "old")
    assert change_profile(client, tokens, bio="new").status_code == 200
    assert not redis.exists(key)


def test_a_change_is_told_to_the_gateways(client: httpx.Client, revocations: RevocationLog) -> None:
    """With all of what can change, so that a device needs to ask for nothing; one that changes nothing is none."""
    person = sign_up(client)
    tokens = person.login()
    assert change_profile(client, tokens).status_code == 200
    change_profile(client, tokens, display_name="Ada", bio="Counts.")
    change_profile(client, tokens, bio="")
    first, second = revocations.profiles(person.user_id, 2)
    assert (first.display_name, first.bio, second.display_name, second.bio) == ("Ada", "Counts.", "Ada", "")
    assert first.time <= second.time


@pytest.mark.parametrize("fields", [{"username": "other"}, {"bio": None}, {"bio": "x" * 1001}, {"display_name": 1}])
def test_what_is_not_of_the_profile_is_refused(client: httpx.Client, fields: dict[str, object]) -> None:
    answer = change_profile(client, sign_up(client).login(), **fields)
    assert code(answer) == (422, "invalid_fields")
    assert [error["field"] for error in answer.json()["errors"]] == list(fields)


def test_the_profile_shows_no_secret(client: httpx.Client) -> None:
    answer = me(client, sign_up(client).login())
    assert answer.json().keys() == {"user_id", "username", "display_name", "bio", "created_at"}

"""One's own profile."""

from __future__ import annotations

import httpx
import pytest
from redis import Redis

from pulsar_data import redis_keys
from pulsar_data.model import UserId

from .people import Tokens, code, me, sign_up

pytestmark = pytest.mark.stack


def change(client: httpx.Client, tokens: Tokens, **fields: object) -> httpx.Response:
    """Try to change the profile."""
    return client.patch("/user/me", headers=tokens.headers, json=fields)


def test_a_change_keeps_what_was_not_sent_and_an_empty_text_clears(client: httpx.Client) -> None:
    tokens = sign_up(client).login()
    change(client, tokens, display_name="Ada", bio="Counts.")
    changed = change(client, tokens, display_name="")
    assert (changed.json()["display_name"], changed.json()["bio"]) == ("", "Counts.")
    assert me(client, tokens).json() == changed.json()


def test_a_change_makes_others_forget_the_old_profile(client: httpx.Client, redis: Redis) -> None:
    person = sign_up(client)
    tokens, key = person.login(), redis_keys.token_version(UserId(person.user_id))
    redis.hset(key, "username", "old")
    assert change(client, tokens, bio="new").status_code == 200
    assert not redis.exists(key)


@pytest.mark.parametrize("fields", [{"username": "other"}, {"bio": None}, {"bio": "x" * 1001}, {"display_name": 1}])
def test_what_is_not_of_the_profile_is_refused(client: httpx.Client, fields: dict[str, object]) -> None:
    answer = change(client, sign_up(client).login(), **fields)
    assert code(answer) == (422, "invalid_fields")
    assert [error["field"] for error in answer.json()["errors"]] == list(fields)


def test_the_profile_shows_no_secret(client: httpx.Client) -> None:
    answer = me(client, sign_up(client).login())
    assert answer.json().keys() == {"user_id", "username", "display_name", "bio", "created_at"}

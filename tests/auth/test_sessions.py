"""Refreshing and ending sessions: what ends with them, and who is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from secrets import token_urlsafe
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
import pytest
from redis import Redis

from pulsar_data import redis_keys
from pulsar_data.model import UserId

from .people import PASSWORD, Tokens, attempt, change_password, code, me, refresh, sign_up
from .revocations import RevocationLog

if TYPE_CHECKING:
    from cassandra.cluster import Session

pytestmark = pytest.mark.stack

NEW = "quite another one"


def test_refreshing_goes_on_with_the_same_session(client: httpx.Client) -> None:
    tokens = sign_up(client).login()
    for _ in range(3):
        before, tokens = tokens, Tokens.of(refresh(client, tokens.refresh))
        assert tokens.claims["sid"] == before.claims["sid"]
        assert tokens.refresh != before.refresh
    assert me(client, tokens).status_code == 200


def test_a_refresh_token_used_again_ends_the_session_for_both_who_have_it(
    client: httpx.Client, revocations: RevocationLog
) -> None:
    person = sign_up(client)
    other_device, first = person.login(), person.login()
    second = Tokens.of(refresh(client, first.refresh))
    assert code(refresh(client, first.refresh)) == (401, "refresh_token_reused")
    assert code(refresh(client, second.refresh)) == (401, "invalid_refresh_token")
    assert code(me(client, second)) == (401, "session_ended")
    assert [event.session for event in revocations.of(person.user_id)] == [first.claims["sid"]]
    assert me(client, other_device).status_code == 200


@pytest.mark.parametrize(
    "shape", ["", "x", "{user}.{session}", "{user}.{session}.{secret}", "{secret}.{user}.{session}"]
)
def test_a_refresh_token_that_was_never_given_is_refused(client: httpx.Client, shape: str) -> None:
    text = shape.format(user=uuid4().hex, session=uuid4().hex, secret="s" * 43)
    assert code(refresh(client, text)) == (401, "invalid_refresh_token")


def test_a_refresh_token_that_somebody_made_up_ends_no_session(client: httpx.Client) -> None:
    """User and session are in every access token and in logs. To know them is not to have had a refresh token."""
    tokens = sign_up(client).login()
    owner, session, _ = tokens.refresh.split(".")
    for _ in range(5):
        assert code(refresh(client, f"{owner}.{session}.{token_urlsafe(32)}")) == (401, "invalid_refresh_token")
    assert refresh(client, tokens.refresh).status_code == 200


def test_logout_ends_this_session_alone(client: httpx.Client, revocations: RevocationLog, redis: Redis) -> None:
    person = sign_up(client)
    here, there = person.login(), person.login()
    redis.hset(redis_keys.token_version(UserId(person.user_id)), "version", 1)
    assert client.post("/user/logout", headers=here.headers).status_code == 204
    assert code(me(client, here)) == (401, "session_ended")
    assert code(refresh(client, here.refresh)) == (401, "invalid_refresh_token")
    assert me(client, there).status_code == 200
    assert not redis.exists(redis_keys.token_version(UserId(person.user_id)))
    [event] = revocations.of(person.user_id)
    assert (event.session, event.except_session) == (here.claims["sid"], None)


def test_logout_may_be_repeated_and_tells_the_gateways_again(client: httpx.Client, revocations: RevocationLog) -> None:
    """Who got a 503 asks again with the token of a session that is gone already."""
    person = sign_up(client)
    tokens = person.login()
    for _ in range(2):
        assert client.post("/user/logout", headers=tokens.headers).status_code == 204
    assert [event.session for event in revocations.of(person.user_id, 2)] == [tokens.claims["sid"]] * 2


def test_a_refresh_under_way_does_not_bring_an_ended_session_back(client: httpx.Client, cassandra: Session) -> None:
    """Whichever of a refresh and a logout at the same time comes first, the session is over."""
    person = sign_up(client)
    for _ in range(10):
        tokens = person.login()
        with ThreadPoolExecutor(2) as pool:
            renewed = pool.submit(refresh, client, tokens.refresh)
            ended = pool.submit(client.post, "/user/logout", headers=tokens.headers)
        assert ended.result().status_code == 204
        if renewed.result().status_code == 200:
            assert me(client, Tokens.of(renewed.result())).status_code == 401
    rows = cassandra.execute("SELECT session_id FROM sessions_by_user WHERE user_id = %s", [UUID(person.user_id)])
    assert list(rows) == []


def test_logout_all_ends_every_session_and_voids_every_token(
    client: httpx.Client, cassandra: Session, revocations: RevocationLog
) -> None:
    person = sign_up(client)
    sessions = [person.login() for _ in range(3)]
    assert client.post("/user/logout-all", headers=sessions[0].headers).status_code == 204
    for tokens in sessions:
        assert code(me(client, tokens)) == (401, "session_ended")
        assert refresh(client, tokens.refresh).status_code == 401
    [event] = revocations.of(person.user_id)
    assert (event.session, event.except_session) == (None, None)
    row = cassandra.execute("SELECT token_version FROM users_by_id WHERE user_id = %s", [UUID(person.user_id)]).one()
    assert row.token_version > sessions[0].claims["ver"]
    assert me(client, person.login()).status_code == 200


def test_whoever_asks_again_for_the_end_of_all_sessions_is_heard(
    client: httpx.Client, revocations: RevocationLog
) -> None:
    """Who got a 503 may: its own socket is told of again, those of later sessions are not."""
    person = sign_up(client)
    tokens = person.login()
    assert client.post("/user/logout-all", headers=tokens.headers).status_code == 204
    later = person.login()
    assert client.post("/user/logout-all", headers=tokens.headers).status_code == 204
    assert me(client, later).status_code == 200
    assert [event.session for event in revocations.of(person.user_id, 2)] == [None, tokens.claims["sid"]]


def test_of_many_logout_alls_at_once_none_lowers_the_version(client: httpx.Client, cassandra: Session) -> None:
    person = sign_up(client)
    sessions = [person.login() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tokens: client.post("/user/logout-all", headers=tokens.headers), sessions))
    later = person.login()
    assert all(me(client, tokens).status_code == 401 for tokens in sessions)
    assert me(client, later).status_code == 200
    assert later.claims["ver"] > max(tokens.claims["ver"] for tokens in sessions)


def test_a_new_password_ends_all_other_sessions_and_goes_on_with_this_one(
    client: httpx.Client, revocations: RevocationLog
) -> None:
    person = sign_up(client)
    other, this = person.login(), person.login()
    renewed = Tokens.of(change_password(client, this, PASSWORD, NEW))
    assert renewed.claims["sid"] == this.claims["sid"] and renewed.claims["ver"] > this.claims["ver"]
    assert me(client, renewed).status_code == 200
    assert code(me(client, this)) == code(me(client, other)) == (401, "session_ended")
    assert code(refresh(client, other.refresh)) == (401, "invalid_refresh_token")
    [event] = revocations.of(person.user_id)
    assert (event.session, event.except_session) == (None, this.claims["sid"])
    assert attempt(client, person.username, PASSWORD).status_code == 401
    assert attempt(client, person.username, NEW).status_code == 200
    assert refresh(client, renewed.refresh).status_code == 200


def test_of_two_password_changes_at_once_one_holds_whole(client: httpx.Client) -> None:
    """Never the password of one with the version of the other: the tokens of the winner work, and its password does."""
    person = sign_up(client)
    sessions, wishes = [person.login(), person.login()], ["the first wish", "the second wish"]

    def change(number: int) -> httpx.Response:
        body = {"old": PASSWORD, "new": wishes[number]}
        return client.post("/user/password", headers=sessions[number].headers, json=body)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(change, range(2)))
    assert {answer.status_code for answer in answers} <= {200, 401}
    assert sum(attempt(client, person.username, wish).status_code == 200 for wish in wishes) == 1
    assert attempt(client, person.username, PASSWORD).status_code == 401


def test_the_password_is_not_changed_without_the_old_one(client: httpx.Client) -> None:
    person = sign_up(client)
    tokens = person.login()
    assert code(change_password(client, tokens, "a guess", NEW)) == (401, "bad_credentials")
    assert me(client, tokens).status_code == 200
    assert person.login()


def test_a_session_that_is_not_used_expires(client: httpx.Client, cassandra: Session) -> None:
    """Its row carries its lifetime, so Cassandra itself removes it."""
    person = sign_up(client)
    tokens = person.login()
    row = cassandra.execute(
        "SELECT TTL(refresh_hash) AS ttl, TTL(device) AS device FROM sessions_by_user WHERE user_id = %s",
        [UUID(tokens.claims["sub"])],
    ).one()
    month = 30 * 24 * 3600
    assert month - 60 < row.ttl <= month and month - 60 < row.device <= month

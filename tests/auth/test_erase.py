"""Erasing an account: what goes, what stays, and what happens where it breaks off."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from user_auth import app
from user_auth.app import Parts
from user_auth.settings import Settings
from user_auth.users import next_version

from .conftest import Start
from .people import PASSWORD, Person, attempt, change_profile, code, erase, me, refresh, sign_up, unique_name
from .revocations import RevocationLog

if TYPE_CHECKING:
    from cassandra.cluster import Session

pytestmark = pytest.mark.stack

MONTH = 30 * 24 * 3600


@pytest.fixture(scope="module")
def parts(stores: Mapping[str, str]) -> Parts:
    """The rules of user-auth in the test's own process, so that it can stop between two steps."""
    return app.parts(Settings.read(stores))


@pytest.fixture(scope="module")
def hasty(start: Start) -> Iterator[httpx.Client]:
    """A client of a function that gives names back after two seconds."""
    with start({"CHATTIFIER_NAME_KEPT_SECONDS": "2"}).client() as client:
        yield client


def register(client: httpx.Client, username: str) -> httpx.Response:
    """Try to sign up."""
    return client.post("/user/register", json={"username": username, "password": PASSWORD})


def break_off(parts: Parts, person: Person) -> None:
    """Erase an account as a process does that dies after the first step."""
    user = parts.users.find(UUID(person.user_id))
    assert user is not None
    parts.users.erase(user, next_version(user, app.now_ms()))


def row(cassandra: Session, person: Person) -> dict[str, Any]:
    """What is left of an account."""
    found = cassandra.execute("SELECT * FROM users_by_id WHERE user_id = %s", [UUID(person.user_id)]).one()
    return {name: value for name, value in found._asdict().items() if value is not None}


def name_ttl(cassandra: Session, username: str) -> int | None:
    """Seconds until a name is given back; None where it is not going to be."""
    ttl: int | None = (
        cassandra.execute("SELECT TTL(user_id) AS ttl FROM usernames WHERE username = %s", [username]).one().ttl
    )
    return ttl


def test_nothing_is_left_but_the_id(client: httpx.Client, cassandra: Session, revocations: RevocationLog) -> None:
    person = sign_up(client)
    tokens, other = person.login(device="phone"), person.login()
    change_profile(client, tokens, display_name="Ada", bio="Counts.").raise_for_status()
    answer = erase(client, tokens)
    assert (answer.status_code, answer.content) == (204, b"")
    left = row(cassandra, person)
    assert left.keys() == {"user_id", "state", "token_version"} and left["state"] == "erased"
    sessions = cassandra.execute("SELECT device FROM sessions_by_user WHERE user_id = %s", [UUID(person.user_id)])
    assert list(sessions) == []
    for token in (tokens, other):
        assert code(me(client, token)) == (401, "session_ended")
        assert code(refresh(client, token.refresh)) == (401, "invalid_refresh_token")
    [event] = revocations.of(person.user_id)
    assert (event.session, event.except_session) == (None, None)


def test_a_sign_in_to_an_erased_account_is_answered_as_to_one_that_never_was(client: httpx.Client) -> None:
    person = sign_up(client)
    erase(client, person.login())
    gone, nobody = attempt(client, person.username, PASSWORD), attempt(client, unique_name(), PASSWORD)
    assert (gone.status_code, gone.content) == (nobody.status_code, nobody.content)
    assert gone.headers.keys() == nobody.headers.keys()


def test_only_the_password_erases(client: httpx.Client, cassandra: Session) -> None:
    person = sign_up(client)
    tokens = person.login()
    assert code(erase(client, tokens, "a guess")) == (401, "bad_credentials")
    assert code(client.request("DELETE", "/user/me", headers=tokens.headers)) == (415, "unsupported_media_type")
    assert code(client.request("DELETE", "/user/me", json={"password": PASSWORD})) == (401, "invalid_token")
    assert me(client, tokens).status_code == 200
    assert name_ttl(cassandra, person.username) is None


def test_guesses_are_limited(start: Start) -> None:
    with start({"CHATTIFIER_AUTH_LIMITS": "password-account=2/60"}).client() as limited:
        tokens = sign_up(limited).login()
        assert [erase(limited, tokens, "a guess").status_code for _ in range(3)] == [401, 401, 429]


def test_erasing_may_be_repeated_with_the_same_token_and_tells_the_gateways_again(
    client: httpx.Client, revocations: RevocationLog
) -> None:
    """Who got a 503 asks again."""
    person = sign_up(client)
    tokens = person.login()
    assert [erase(client, tokens).status_code for _ in range(2)] == [204, 204]
    assert len(revocations.of(person.user_id, 2)) == 2


def test_the_name_stays_taken_for_a_month(client: httpx.Client, cassandra: Session) -> None:
    person = sign_up(client)
    erase(client, person.login())
    assert code(register(client, person.username)) == (409, "username_taken")
    ttl = name_ttl(cassandra, person.username)
    assert ttl is not None and MONTH - 60 < ttl <= MONTH


def test_after_its_time_a_name_is_one_person_s_however_many_want_it(hasty: httpx.Client) -> None:
    """Who gets it is somebody new."""
    person = sign_up(hasty)
    erase(hasty, person.login())
    answers: list[httpx.Response] = []
    deadline = time.monotonic() + 20
    with ThreadPoolExecutor(10) as pool:
        while not any(answer.status_code == 201 for answer in answers):
            assert time.monotonic() < deadline, "not free within twenty seconds"
            answers = list(pool.map(lambda _: register(hasty, person.username), range(10)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 9}
    [user_id] = [answer.json()["user_id"] for answer in answers if answer.status_code == 201]
    assert user_id != person.user_id
    assert attempt(hasty, person.username, PASSWORD).json()["user_id"] == user_id


def test_an_erasure_that_broke_off_lets_nobody_in_and_is_finished_by_repeating_it(
    client: httpx.Client, cassandra: Session, parts: Parts
) -> None:
    person = sign_up(client)
    tokens = person.login()
    break_off(parts, person)
    assert code(attempt(client, person.username, PASSWORD)) == (401, "bad_credentials")
    assert code(me(client, tokens)) == (401, "session_ended")
    assert refresh(client, tokens.refresh).status_code == 401
    assert row(cassandra, person)["username"] == person.username
    assert erase(client, tokens).status_code == 204
    assert row(cassandra, person).keys() == {"user_id", "state", "token_version"}
    assert name_ttl(cassandra, person.username) is not None
    assert code(refresh(client, tokens.refresh)) == (401, "invalid_refresh_token")


def test_an_erasure_that_nobody_repeats_is_finished_when_somebody_wants_the_name(
    client: httpx.Client, cassandra: Session, parts: Parts
) -> None:
    person = sign_up(client)
    break_off(parts, person)
    assert code(register(client, person.username)) == (409, "username_taken")
    assert name_ttl(cassandra, person.username) is not None
    assert "username" not in row(cassandra, person)


def test_what_was_under_way_brings_nothing_back(client: httpx.Client, cassandra: Session, parts: Parts) -> None:
    """A profile, a password, a session that another process writes just after: its clock may be seconds ahead."""
    person = sign_up(client)
    tokens = person.login()
    user = parts.users.find(UUID(person.user_id))
    session = parts.sessions.find(UUID(person.user_id), UUID(tokens.claims["sid"]))
    assert user is not None and session is not None
    erase(client, tokens)
    later = app.now_ms() + 5_000
    parts.users.set_profile(replace(user, display_name="back"), later)
    parts.users.set_password(user.user_id, "back", next_version(user, later))
    parts.sessions.write(replace(session, used_at=later, expires_at=later + 60_000))
    assert row(cassandra, person).keys() == {"user_id", "state", "token_version"}
    assert parts.sessions.find(session.user_id, session.session_id) is None
    assert code(attempt(client, person.username, PASSWORD)) == (401, "bad_credentials")

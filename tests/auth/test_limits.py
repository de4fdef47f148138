"""Limits, shared by all instances through Redis."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from secrets import token_urlsafe
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from .conftest import Start
from .people import PASSWORD, Tokens, attempt, change_password, code, erase, refresh, sign_up, unique_name

pytestmark = pytest.mark.stack

LIMITS = (
    "register-address=3/60,login-address=6/60,login-account=3/60,login-known=3/60,"
    "refresh-address=1000/60,refresh-session=4/60"
)


@pytest.fixture(scope="module")
def two(start: Start) -> Iterator[list[httpx.Client]]:
    """Clients of two instances behind one proxy."""
    environment = {"CHATTIFIER_AUTH_LIMITS": LIMITS, "CHATTIFIER_TRUSTED_PROXIES": "1"}
    clients = [start(environment).client() for _ in range(2)]
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def address(two: list[httpx.Client]) -> str:
    """Each test comes from an address of its own; what the client itself claims stands before it."""
    raw = uuid4().hex
    address = ":".join(["2001:db8", *(raw[place : place + 4] for place in (0, 4)), "0:0:0:1"])
    for client in two:
        client.headers["X-Forwarded-For"] = f"{uuid4().hex}, {address}"
    return address


def test_sign_ups_of_an_address_are_counted_over_all_instances(two: list[httpx.Client], address: str) -> None:
    answers = [
        two[number % 2].post("/user/register", json={"username": unique_name(), "password": PASSWORD})
        for number in range(5)
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429]
    assert code(answers[-1]) == (429, "too_many_requests")
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


def test_guesses_at_an_account_are_counted_whoever_guesses(two: list[httpx.Client], address: str) -> None:
    name = sign_up(two[0]).username
    statuses = []
    for number in range(5):
        two[number % 2].headers["X-Forwarded-For"] = f"198.51.100.{number}, 2001:db8:{number}:{uuid4().hex[:4]}::1"
        statuses.append(attempt(two[number % 2], name, "a guess").status_code)
    assert statuses == [401, 401, 401, 429, 429]
    assert attempt(two[0], name, PASSWORD).status_code == 429, "not even the right one: it would tell"


def test_from_where_its_owner_was_an_account_can_be_signed_in_to_whoever_guesses(two: list[httpx.Client]) -> None:
    """As long as others guess, and they get no further for it; from there as many guesses count, and no more."""
    home, elsewhere = (f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1" for _ in range(2))
    for client in two:
        client.headers["X-Forwarded-For"] = home
    person = sign_up(two[0])
    person.login()
    two[1].headers["X-Forwarded-For"] = elsewhere
    guesses = [attempt(two[1], person.username, "a guess").status_code for _ in range(6)]
    assert guesses == [401] * 2 + [429] * 4, "one of three was the owner's first sign-in"
    assert attempt(two[0], person.username, PASSWORD).status_code == 200
    assert attempt(two[1], person.username, PASSWORD).status_code == 429
    assert [attempt(two[0], person.username, "a guess").status_code for _ in range(3)] == [401, 401, 429]


def test_who_is_signed_in_changes_the_password_and_leaves_whoever_guesses(two: list[httpx.Client]) -> None:
    """From anywhere: a session is shown, so strangers cannot fill the counter."""
    home, elsewhere = two
    home.headers["X-Forwarded-For"] = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
    person = sign_up(home)
    tokens = person.login()
    for number in range(5):
        elsewhere.headers["X-Forwarded-For"] = f"2001:db8:{uuid4().hex[:4]}:{number}::1"
        guess = attempt(elsewhere, person.username, "a guess")
    assert guess.status_code == 429
    home.headers["X-Forwarded-For"] = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
    renewed = Tokens.of(change_password(home, tokens, PASSWORD, "quite another one"))
    assert erase(home, renewed, "quite another one").status_code == 204


def test_whoever_has_a_session_may_guess_its_password_ten_times_a_minute(start: Start) -> None:
    """By the limits as they are shipped; what is guessed when erasing counts as well, sign-ins do not."""
    with start({"CHATTIFIER_AUTH_LIMITS": "", "CHATTIFIER_TRUSTED_PROXIES": "1"}).client() as client:
        client.headers["X-Forwarded-For"] = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
        person = sign_up(client)
        tokens = person.login()
        guesses = [change_password(client, tokens, "a guess", "my own now").status_code for _ in range(11)]
        assert guesses == [401] * 10 + [429]
        assert code(change_password(client, tokens, PASSWORD, "my own now")) == (429, "too_many_requests")
        assert code(erase(client, tokens)) == (429, "too_many_requests")
        assert person.login()


def test_an_unknown_name_is_limited_as_a_known_one(two: list[httpx.Client], address: str) -> None:
    name = unique_name()
    assert [attempt(two[0], name, "a guess").status_code for _ in range(4)] == [401, 401, 401, 429]


def test_sign_ins_of_an_address_are_counted_over_all_accounts(two: list[httpx.Client], address: str) -> None:
    statuses = [attempt(two[number % 2], unique_name(), "a guess").status_code for number in range(8)]
    assert statuses == [401] * 6 + [429] * 2


def test_refreshing_a_session_is_limited(two: list[httpx.Client], address: str) -> None:
    token = sign_up(two[0]).login().refresh
    statuses = []
    for _ in range(5):
        answer = refresh(two[0], token)
        statuses.append(answer.status_code)
        token = answer.json().get("refresh_token", token)
    assert statuses == [200, 200, 200, 200, 429]


def test_made_up_tokens_use_up_nothing_of_a_session(two: list[httpx.Client], address: str) -> None:
    token = sign_up(two[0]).login().refresh
    owner, session, _ = token.split(".")
    made_up = [refresh(two[0], f"{owner}.{session}.{token_urlsafe(32)}").status_code for _ in range(5)]
    assert made_up == [401] * 5
    assert refresh(two[0], token).status_code == 200


def test_where_an_edge_names_the_address_nothing_else_counts(start: Start) -> None:
    environment = {"CHATTIFIER_AUTH_LIMITS": LIMITS, "CHATTIFIER_ADDRESS_HEADER": "X-Client-Address"}
    with start(environment).client() as client:
        for named in (f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1" for _ in range(2)):
            statuses = []
            for number in range(8):
                client.headers.update({"X-Client-Address": named, "X-Forwarded-For": f"198.51.100.{number}"})
                statuses.append(attempt(client, unique_name(), "a guess").status_code)
            assert statuses == [401] * 6 + [429] * 2


def test_a_window_ends(two: list[httpx.Client], address: str, redis: Redis) -> None:
    """Every counter has a lifetime, or nobody behind that address would ever get in again."""
    attempt(two[0], unique_name(), "a guess")
    network = ip_network(f"{address}/64", strict=False)
    assert 0 < redis.ttl(f"limit:login-address:{network}") <= 60

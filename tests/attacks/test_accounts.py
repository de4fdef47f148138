"""Hostile requests to user-auth, at its own port and through the edge: names, passwords, bodies, tokens, guesses."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.auth.function import running
from tests.auth.people import PASSWORD, attempt, code, me, refresh, sign_up, unique_name
from tests.patient import Patient
from tests.running_stack import Stack

from .conftest import Noted

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("quiet_logs")]
JSON = {"Content-Type": "application/json"}
CQL = "'; DROP TABLE chat.users_by_id; --"


@pytest.fixture(params=["auth", "edge"])
def door(request: pytest.FixtureRequest, stack: Stack) -> Iterator[httpx.Client]:
    """user-auth, and the edge before it."""
    with httpx.Client(base_url=getattr(stack, request.param), transport=Patient(), timeout=60) as client:
        yield client


def _register(client: httpx.Client, name: str, password: str, **fields: str) -> httpx.Response:
    return client.post("/user/register", json={"username": name, "password": password, **fields})


NAMES: Mapping[str, str] = {
    # of somebody whose name is {}: what others could take for it
    "a Cyrillic a": "\u0430{}",
    "a Greek omicron": "\u03bf{}",
    "a dotless i": "\u0131{}",
    "a zero-width space": "{}\u200b",
    "a zero-width joiner": "a\u200d{}",
    "a soft hyphen": "a\u00ad{}",
    "a right-to-left override": "\u202e{}",
    "a BOM": "\ufeff{}",
    "a composed accent": unicodedata.normalize("NFC", "e\u0301{}"),
    "a decomposed accent": "e\u0301{}",
    "a combining mark at the end": "{}\u0336",
    "an emoji": "{}\U0001f408",
    "a variation selector": "{}\ufe0f",
    "NUL": "{}\x00",
    "a newline": "{}\n",
    "a blank": " {}",
    "a no-break space": "{}\u00a0",
    "a tab": "{}\t",
    "a slash": "../{}",
    "a percent": "%61{}",
    "CQL": "{}' OR ''='",
    "a colon, as outsiders have it": "issuer:{}",
    "an at sign": "{}@x",
}


def test_no_name_looks_like_anothers(door: httpx.Client, noted: Noted) -> None:
    """422 for what has other characters; nobody signs in by it, either."""
    person = sign_up(door)
    for what, shape in NAMES.items():
        name = shape.format(person.username)
        answer = _register(door, name, PASSWORD)
        assert code(answer) == (422, "invalid_fields"), what
        assert answer.json()["errors"] == [{"field": "username", "code": "username_invalid"}]
        assert code(attempt(door, name, PASSWORD)) == (401, "bad_credentials"), what
        noted(f"a name with {what}", 422)


def test_every_spelling_of_a_name_is_that_name(door: httpx.Client, noted: Noted) -> None:
    """What NFKC and case folding make one is taken (409), and signs in as its owner."""
    tail = uuid4().hex[:12]
    name = f"skfi{tail}"
    assert _register(door, name, PASSWORD).status_code == 201
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in name)
    for spelling in (name.upper(), wide, f"\u017fkfi{tail}", f"s\u212afi{tail}", f"sk\ufb01{tail}"):
        assert code(_register(door, spelling, PASSWORD)) == (409, "username_taken"), ascii(spelling)
        assert attempt(door, spelling, PASSWORD).status_code == 200, ascii(spelling)
        noted(f"the name in another spelling, {spelling!a}", 409)


@pytest.mark.parametrize("password", ["password", "PASSWORD1", "12345678", "Football", "qwertyuiop", "iloveyou"])
def test_a_common_password_is_refused(door: httpx.Client, noted: Noted, password: str) -> None:
    answer = _register(door, unique_name(), password)
    assert code(answer) == (422, "invalid_fields")
    assert answer.json()["errors"] == [{"field": "password", "code": "password_common"}]
    noted(f"the password {password}", 422)


def test_a_password_counts_to_its_last_character(door: httpx.Client, noted: Noted) -> None:
    """Of 72 and 73 characters, where others cut; of 128, the most; behind a NUL; in any script. 129 are refused."""
    for what, right, wrong in (
        ("72 characters", "x" * 72, "x" * 71 + "y"),
        ("73 characters", "x" * 73, "x" * 72),
        ("128 characters", "x" * 128, "x" * 127 + "y"),
        ("128 emoji", "\U0001f408" * 128, "\U0001f408" * 127 + "\U0001f415"),
        ("a NUL in it", "correct\x00horse", "correct\x00battery"),
        ("another case", "Correct Horse", "correct horse"),
        ("a blank at the end", "correct horse ", "correct horse"),
        ("quotes of CQL", CQL, CQL[:-1]),
        ("full width", "\uff43orrect horse", "correct horse"),
    ):
        name = unique_name()
        assert _register(door, name, right).status_code == 201, what
        assert attempt(door, name, wrong).status_code == 401, what
        assert attempt(door, name, right).status_code == 200, what
        noted(f"a password but for {what}", 401)
    for length in (7, 129, 10_000):
        assert code(_register(door, unique_name(), "x" * length)) == (422, "invalid_fields")
        noted(f"a password of {length} characters", 422)
    person = sign_up(door)
    assert code(attempt(door, person.username, "x" * 16_000)) == (401, "bad_credentials")
    noted("a guess of 16,000 characters", 401)


def test_quotes_of_cql_are_text(door: httpx.Client, noted: Noted) -> None:
    """Where text is free they come back as they were; where it is not they are refused; no table is gone."""
    person = sign_up(door)
    tokens = person.login(device=CQL)
    changed = door.patch("/user/me", headers=tokens.headers, json={"display_name": CQL, "bio": f'{CQL}"$$;'})
    assert (changed.json()["display_name"], changed.json()["bio"]) == (CQL, f'{CQL}"$$;')
    sessions = door.get("/user/me/sessions", headers=tokens.headers).json()["sessions"]
    assert [session["device"] for session in sessions] == [CQL]
    assert code(_register(door, CQL[:32], PASSWORD)) == (422, "invalid_fields")
    assert code(refresh(door, CQL)) == (401, "invalid_refresh_token")
    assert code(refresh(door, f"{CQL}.{CQL}.{CQL}")) == (401, "invalid_refresh_token")
    assert person.login()
    noted("CQL as device, name, profile, token", "text, 422, 401")


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "*/*"],
)
def test_a_body_of_another_type_is_refused(door: httpx.Client, noted: Noted, media_type: str) -> None:
    """415, also for what a page of another origin may send without asking."""
    for path in ("/user/login", "/user/register", "/user/refresh"):
        answer = door.post(path, content=b'{"username":"x","password":"y"}', headers={"Content-Type": media_type})
        assert code(answer) == (415, "unsupported_media_type")
    noted(f"Content-Type {media_type!r}", 415)


def test_a_body_of_ten_megabytes_is_turned_away(door: httpx.Client, noted: Noted) -> None:
    """413, or cut while it is still being sent; the next connection is served."""
    for path in ("/user/login", "/user/register", "/user/refresh"):
        try:
            answer = door.post(path, content=b'{"username":"' + b"x" * 10_000_000, headers=JSON)
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            pass
        else:
            assert code(answer) == (413, "body_too_large")
        with httpx.Client(base_url=door.base_url, transport=Patient(), timeout=60) as another:
            assert another.get("/.well-known/jwks.json").status_code == 200
        noted(f"10 MB to {path}", 413)


def test_a_stolen_refresh_token_ends_the_session_of_both(door: httpx.Client, noted: Noted) -> None:
    """Whoever comes second is told so, and neither goes on; the owner's other devices do."""
    person = sign_up(door)
    other, mine = person.login(), person.login()
    theirs = refresh(door, mine.refresh)
    assert theirs.status_code == 200
    assert code(refresh(door, mine.refresh)) == (401, "refresh_token_reused")
    assert code(refresh(door, theirs.json()["refresh_token"])) == (401, "invalid_refresh_token")
    answer = door.get("/user/me", headers={"Authorization": f"Bearer {theirs.json()['access_token']}"})
    assert code(answer) == (401, "session_ended")
    assert me(door, other).status_code == 200
    noted("a refresh token used by two", 401)


def test_a_hundred_guesses_and_one_more(stack: Stack, tmp_path: Path, noted: Noted) -> None:
    """By the limits as they are shipped: 10 are looked at, all others are 429 with Retry-After, from wherever.

    The owner goes on with a session that there is, and signs in from where they were before (docs/accounts.md).
    """
    environment = {
        "CHATTIFIER_CASSANDRA": f"{stack.cassandra.host}:{stack.cassandra.port}",
        "CHATTIFIER_KEYSPACE": stack.cassandra.keyspace,
        "CHATTIFIER_REDIS_URL": stack.redis.url,
        "CHATTIFIER_PULSAR_URL": stack.pulsar.service_url,
        "CHATTIFIER_TRUSTED_PROXIES": "1",
    }
    with running(tmp_path, environment) as function, function.client() as home, function.client() as thief:
        home.headers["X-Forwarded-For"] = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
        person = sign_up(home)
        tokens = person.login()
        statuses = []
        for number in range(101):
            thief.headers["X-Forwarded-For"] = f"2001:db8:{uuid4().hex[:4]}:{number:x}::1"
            answer = attempt(thief, person.username, f"guess {number}")
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert statuses.count(401) < 30, "ten in each minute"
        assert statuses[-1] == 429
        assert attempt(thief, person.username, PASSWORD).status_code == 429, "not even the right one: it would tell"
        assert refresh(home, tokens.refresh).status_code == 200
        assert attempt(home, person.username, PASSWORD).status_code == 200
    noted("101 guesses from 101 addresses", "401, then 429")
    noted("the owner behind them", 200)

"""Where one is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from .people import PASSWORD, Tokens, code, refresh, sign_up

if TYPE_CHECKING:
    from cassandra.cluster import Session

pytestmark = pytest.mark.stack


def listed(client: httpx.Client, tokens: Tokens) -> list[dict[str, Any]]:
    """The sessions that a user is shown."""
    answer = client.get("/user/me/sessions", headers=tokens.headers)
    assert answer.status_code == 200, answer.text
    sessions: list[dict[str, Any]] = answer.json()["sessions"]
    return sessions


def test_each_sign_in_is_shown_the_last_used_first_and_which_one_asks(client: httpx.Client) -> None:
    person = sign_up(client)
    phone, desk = person.login(device="phone"), person.login(device="desk")
    assert [one["device"] for one in listed(client, phone)] == ["desk", "phone"]
    used = Tokens.of(refresh(client, phone.refresh))
    first, second = listed(client, used)
    assert (first["device"], first["session_id"], first["current"]) == ("phone", phone.claims["sid"], True)
    assert (second["device"], second["session_id"], second["current"]) == ("desk", desk.claims["sid"], False)
    assert first["created_at"] < second["created_at"] <= first["used_at"] < first["expires_at"]


def test_sessions_that_have_ended_are_not_shown(client: httpx.Client) -> None:
    person = sign_up(client)
    out, _other, this = (person.login() for _ in range(3))
    client.post("/user/logout", headers=out.headers).raise_for_status()
    assert len(listed(client, this)) == 2
    body = {"old": PASSWORD, "new": "quite another one"}
    renewed = Tokens.of(client.post("/user/password", headers=this.headers, json=body))
    assert [one["session_id"] for one in listed(client, renewed)] == [this.claims["sid"]]


def test_of_very_many_only_the_last_used_are_shown_and_kept(client: httpx.Client, cassandra: Session) -> None:
    """Two hundred; and that there are more. The rows are written by the test: so many sign-ins would take a minute."""
    person = sign_up(client)
    tokens = person.login()
    insert = cassandra.prepare(
        "INSERT INTO sessions_by_user (user_id, session_id, token_version, device, refresh_hash, created_at, used_at,"
        " expires_at) VALUES (?, ?, ?, 'old', 0x00, 1000, ?, 2000)"
    )
    user, version = UUID(tokens.claims["sub"]), tokens.claims["ver"]
    for used in range(210):
        cassandra.execute(insert, [user, uuid4(), version, used])
    answer = client.get("/user/me/sessions", headers=tokens.headers).json()
    assert [one["used_at"] for one in answer["sessions"][1:]] == list(range(209, 10, -1))
    assert answer["sessions"][0]["current"] and answer["more"]
    latest = listed(client, person.login())  # one more is one too many: those used the longest ago end
    assert [one["used_at"] for one in latest[2:]] == list(range(209, 11, -1))
    assert not client.get("/user/me/sessions", headers=tokens.headers).json()["more"]


def test_only_the_owner_sees_them(client: httpx.Client) -> None:
    sign_up(client).login()
    stranger = sign_up(client).login()
    assert [one["session_id"] for one in listed(client, stranger)] == [stranger.claims["sid"]]
    assert code(client.get("/user/me/sessions")) == (401, "invalid_token")

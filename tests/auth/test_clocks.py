"""Instances whose clocks are an hour apart: what is changed last stays, whoever changes it; what is ended is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest

from user_auth import app
from user_auth.app import Parts
from user_auth.settings import Settings

from .people import Person, Tokens, change_profile, code, erase, me, refresh, sign_up

if TYPE_CHECKING:
    from cassandra.cluster import Session

pytestmark = pytest.mark.stack
HOUR = 3_600_000
"""ms."""


@pytest.fixture(scope="module")
def parts(stores: Mapping[str, str]) -> Parts:
    """The rules of user-auth in the test's own process, which writes as an instance does that is an hour ahead."""
    return app.parts(Settings.read(stores))


def speak_ahead(parts: Parts, person: Person, name: str) -> None:
    """A new profile, by the clock that is ahead."""
    user = parts.users.find(UUID(person.user_id))
    assert user is not None
    parts.users.set_profile(replace(user, display_name=name, bio=name), app.now_ms() + HOUR)


def use_ahead(parts: Parts, tokens: Tokens) -> None:
    """The session is used, by the clock that is ahead."""
    session = parts.sessions.find(UUID(tokens.claims["sub"]), UUID(tokens.claims["sid"]))
    assert session is not None
    later = app.now_ms() + HOUR
    parts.sessions.write(replace(session, used_at=later, expires_at=later + 24 * HOUR))


def test_the_later_profile_stays(client: httpx.Client, parts: Parts) -> None:
    person = sign_up(client)
    tokens = person.login()
    speak_ahead(parts, person, "ahead")
    change_profile(client, tokens, display_name="later").raise_for_status()
    assert me(client, tokens).json()["display_name"] == "later"
    change_profile(client, tokens, bio="later still").raise_for_status()
    assert me(client, tokens).json()["bio"] == "later still"


def test_a_session_that_was_used_ahead_ends(client: httpx.Client, parts: Parts) -> None:
    tokens = sign_up(client).login()
    use_ahead(parts, tokens)
    client.post("/user/logout", headers=tokens.headers).raise_for_status()
    assert code(me(client, tokens)) == (401, "session_ended")
    assert refresh(client, tokens.refresh).status_code == 401


def test_nothing_that_was_written_ahead_outlives_its_account(
    client: httpx.Client, cassandra: Session, parts: Parts
) -> None:
    person = sign_up(client)
    tokens = person.login()
    speak_ahead(parts, person, "ahead")
    use_ahead(parts, tokens)
    assert erase(client, tokens).status_code == 204
    found = cassandra.execute("SELECT * FROM users_by_id WHERE user_id = %s", [UUID(person.user_id)]).one()
    left = {name for name, value in found._asdict().items() if value is not None}
    assert left == {"user_id", "state", "token_version"}
    assert not cassandra.execute("SELECT * FROM sessions_by_user WHERE user_id = %s", [UUID(person.user_id)]).all()

"""What happens while a store cannot be reached: nothing hangs, nothing lies, nothing is lost."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pulsar
import pytest

from pulsar_data import half_open
from pulsar_data.model import UserId
from pulsar_data.tokens import SessionsRevoked
from tests.running_stack import Stack
from user_auth.announcements import Announcements
from user_auth.errors import Unavailable
from user_auth.settings import Settings

from .cable import cable
from .conftest import Start
from .function import Function, free_port
from .own_redis import own_redis
from .people import PASSWORD, Person, attempt, code, erase, me, refresh, sign_up, unique_name

if TYPE_CHECKING:
    from cassandra.cluster import Session

pytestmark = pytest.mark.stack
FOUND_AGAIN_WITHIN = 45.0
"""Seconds: two heartbeats of five each, and time for a busy machine; with the driver's own it takes nearly sixty."""
LIMITED = {"CHATTIFIER_AUTH_LIMITS": "login-account=3/60,login-known=3/60", "CHATTIFIER_TRUSTED_PROXIES": "1"}


@pytest.fixture(scope="module")
def without_pulsar(start: Start) -> Function:
    """Nobody listens where it looks for Pulsar."""
    return start({"CHATTIFIER_PULSAR_URL": f"pulsar://127.0.0.1:{free_port()}"})


@pytest.fixture(scope="module")
def without_redis(start: Start) -> Function:
    """Nobody listens where it looks for Redis; limits are on."""
    return start({**LIMITED, "CHATTIFIER_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})


def test_a_logout_without_pulsar_is_durable_and_says_that_sockets_may_linger(
    without_pulsar: Function, client: httpx.Client
) -> None:
    """The function's keys differ from `client`'s, so the session is looked for with its refresh token."""
    with without_pulsar.client() as lame:
        tokens = sign_up(lame).login()
        answer = lame.post("/user/logout", headers=tokens.headers)
    assert code(answer) == (503, "revocation_delayed")
    assert answer.headers["retry-after"]
    assert code(refresh(client, tokens.refresh)) == (401, "invalid_refresh_token")


def test_a_new_password_without_pulsar_is_in_force(without_pulsar: Function) -> None:
    with without_pulsar.client() as lame:
        person = sign_up(lame)
        tokens = person.login()
        body = {"old": PASSWORD, "new": "quite another one"}
        answer = lame.post("/user/password", headers=tokens.headers, json=body)
        assert code(answer) == (503, "revocation_delayed")
        assert code(me(lame, tokens)) == (401, "session_ended")
        assert person.login("quite another one")


def test_a_profile_changes_without_pulsar(without_pulsar: Function) -> None:
    """Devices that are connected are not told; they see it when they connect again."""
    with without_pulsar.client() as lame:
        tokens = sign_up(lame).login()
        assert lame.patch("/user/me", headers=tokens.headers, json={"bio": "new"}).json()["bio"] == "new"
    assert "profile_not_announced" in without_pulsar.log.read_text()


def test_erasing_without_pulsar_erases_all_and_says_that_sockets_may_linger(
    without_pulsar: Function, client: httpx.Client
) -> None:
    with without_pulsar.client() as lame:
        person = sign_up(lame)
        tokens = person.login()
        assert code(erase(lame, tokens)) == (503, "revocation_delayed")
        assert code(me(lame, tokens)) == (401, "session_ended")
    assert code(attempt(client, person.username, PASSWORD)) == (401, "bad_credentials")
    assert code(refresh(client, tokens.refresh)) == (401, "invalid_refresh_token")


def test_a_producer_that_the_library_has_lost_is_made_anew(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulsar's client has some that say "no connection" for ever, while Pulsar is there."""
    made: list[pulsar.Producer] = []
    create = pulsar.Client.create_producer

    def remembered(client: pulsar.Client, *args: Any, **options: Any) -> pulsar.Producer:
        made.append(create(client, *args, **options))
        return made[-1]

    monkeypatch.setattr(pulsar.Client, "create_producer", remembered)
    monkeypatch.setattr(half_open, "bound_ours", lambda: None)  # it would go on in this process, for all sockets of it
    announcements = Announcements(Settings.read({"CHATTIFIER_PULSAR_URL": stack.pulsar.service_url}))
    event = SessionsRevoked(user=UserId(str(uuid4())), time=0)
    _told(announcements, event)
    made[-1].close()  # as good as lost: it says that it has no connection, and gets none
    before = len(made)
    with pytest.raises(Unavailable):
        announcements.tell(event)
    assert len(made) == before
    _told(announcements, event)
    assert len(made) > before


def _told(announcements: Announcements, event: SessionsRevoked) -> None:
    """Pulsar may take longer than it is given, and is told again then."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return announcements.tell(event)
        except Unavailable:
            if time.monotonic() > deadline:
                raise


def test_signing_in_needs_no_pulsar(without_pulsar: Function) -> None:
    with without_pulsar.client() as lame:
        assert me(lame, sign_up(lame).login()).status_code == 200


def test_signing_in_and_refreshing_need_no_redis_and_limits_are_each_instance_s_own(without_redis: Function) -> None:
    """Nobody knows where the owner was, so each address has its own tries: guesses lock nobody out."""
    with without_redis.client() as home, without_redis.client() as elsewhere:
        elsewhere.headers["X-Forwarded-For"] = "198.51.100.7"
        person = sign_up(home)
        guesses = [attempt(elsewhere, person.username, "a guess").status_code for _ in range(5)]
        assert guesses == [401] * 3 + [429] * 2
        assert refresh(home, person.login().refresh).status_code == 200
    assert "limits_not_shared" in without_redis.log.read_text()


def test_limits_hold_where_redis_is_full(start: Start, tmp_path: Path) -> None:
    """It answers, but counts no more; whom it knew it still knows."""
    with ExitStack() as open_:
        redis = open_.enter_context(own_redis(tmp_path / "redis"))
        function = start({**LIMITED, "CHATTIFIER_REDIS_URL": redis.url})
        home, elsewhere = (open_.enter_context(function.client()) for _ in range(2))
        elsewhere.headers["X-Forwarded-For"] = "198.51.100.7"
        person = sign_up(home)
        person.login()
        redis.fill()
        guesses = [attempt(elsewhere, person.username, "a guess").status_code for _ in range(5)]
        assert guesses == [401] * 3 + [429] * 2
        elsewhere.headers["X-Forwarded-For"] = "198.51.100.8"
        assert attempt(elsewhere, person.username, PASSWORD).status_code == 429, "whoever guesses"
        assert refresh(home, person.login().refresh).status_code == 200


def test_a_logout_without_redis_is_durable_and_says_that_it_is_delayed(
    without_redis: Function, client: httpx.Client
) -> None:
    with without_redis.client() as lame:
        tokens = sign_up(lame).login()
        assert code(lame.post("/user/logout", headers=tokens.headers)) == (503, "revocation_delayed")
    assert code(refresh(client, tokens.refresh)) == (401, "invalid_refresh_token")


def test_a_profile_changed_without_redis_is_saved_and_says_who_may_see_the_old_one(
    without_redis: Function, cassandra: Session
) -> None:
    with without_redis.client() as lame:
        person = sign_up(lame)
        answer = lame.patch("/user/me", headers=person.login().headers, json={"bio": "new"})
    assert code(answer) == (503, "temporarily_unavailable")
    assert "saved" in answer.json()["detail"]
    row = cassandra.execute("SELECT bio FROM users_by_id WHERE user_id = %s", [UUID(person.user_id)]).one()
    assert row.bio == "new"


def test_without_cassandra_every_request_that_needs_it_is_a_503_in_time(start: Start) -> None:
    function = start({"CHATTIFIER_CASSANDRA": f"127.0.0.1:{free_port()}"})
    with function.client() as client:
        person = Person(client, "", unique_name())
        took: list[float] = []
        for _ in range(3):
            begun = time.monotonic()
            answer = attempt(client, person.username, PASSWORD)
            assert code(answer) == (503, "temporarily_unavailable")
            took.append(time.monotonic() - begun)
        assert statistics.median(took) < 6, took
        assert client.get("/user/healthz").status_code == 200
        assert client.get("/.well-known/jwks.json").status_code == 200


def test_without_a_signing_key_there_is_no_session_and_one_that_appears_is_used(start: Start) -> None:
    function = start({})
    key = function.keys / "first.pem"
    hidden = key.rename(key.with_suffix(".hidden"))
    with function.client() as client:
        person = sign_up(client)
        assert code(attempt(client, person.username, PASSWORD)) == (503, "temporarily_unavailable")
        hidden.rename(key)
        assert person.login()


def test_a_cassandra_that_is_cut_off_without_a_word_is_found_again(stack: Stack, start: Start) -> None:
    """503 while its connection is silent; a new one is there in seconds, long before TCP would give the old one up."""
    with cable((stack.cassandra.host, stack.cassandra.port)) as way:
        function = start({"CHATTIFIER_CASSANDRA": f"127.0.0.1:{way.port}"})
        with function.client() as client:
            tokens = sign_up(client).login()
            way.cut()
            assert code(me(client, tokens)) == (503, "temporarily_unavailable")
            deadline = time.monotonic() + FOUND_AGAIN_WITHIN
            while (answer := me(client, tokens)).status_code == 503:
                assert time.monotonic() < deadline, "Cassandra was not found again"
                time.sleep(0.2)
            assert answer.status_code == 200

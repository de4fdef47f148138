"""`chattifier user export|erase|revoke`: the operator's side of what owners may do themselves."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from tests.running_stack import Stack
from tests.stack.command import Command, run

from .people import PASSWORD, attempt, code, me, sign_up, unique_name
from .revocations import RevocationLog

if TYPE_CHECKING:
    from cassandra.cluster import Session

pytestmark = pytest.mark.stack


@pytest.fixture
def command(stack: Stack) -> Command:
    """The command on the running stack."""
    return Command(stack.data)


def test_an_export_is_the_owner_s_own(command: Command, client: httpx.Client, tmp_path: Path) -> None:
    """To the standard output, or into a file that only its owner may read."""
    person = sign_up(client)
    tokens = person.login()
    own = client.get("/user/me/export", headers=tokens.headers).text.splitlines()[1:]
    done = command.run("user", "export", person.username)
    assert (done.code, done.out.splitlines()[1:]) == (0, own), done.err
    file = tmp_path / "export.jsonl"
    assert command.run("user", "export", person.user_id, "--out", str(file)).code == 0
    assert file.read_text().splitlines()[1:] == own
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(own[-1])["type"] == "end"


def test_erasing_needs_no_password_but_a_yes_and_may_be_repeated(
    command: Command, client: httpx.Client, revocations: RevocationLog
) -> None:
    person = sign_up(client)
    tokens = person.login()
    asked = command.run("user", "erase", person.username)
    assert asked.code == 1 and person.user_id in asked.out
    assert me(client, tokens).status_code == 200
    for name_or_id in (person.username, person.user_id):
        done = command.run("user", "erase", name_or_id, "--yes")
        assert done.code == 0, done.err
    assert len(revocations.of(person.user_id, 2)) == 2
    assert code(me(client, tokens)) == (401, "session_ended")
    assert code(attempt(client, person.username, PASSWORD)) == (401, "bad_credentials")
    refused = command.run("user", "export", person.user_id)
    assert refused.code == 1 and "is erased" in refused.err


def test_revoking_ends_every_session_and_leaves_the_password(
    command: Command, client: httpx.Client, revocations: RevocationLog
) -> None:
    person = sign_up(client)
    sessions = [person.login(), person.login()]
    assert command.run("user", "revoke", person.username.upper()).code == 0
    assert [code(me(client, tokens)) for tokens in sessions] == [(401, "session_ended")] * 2
    [event] = revocations.of(person.user_id)
    assert (event.session, event.except_session) == (None, None)
    assert person.login()


def test_users_of_other_issuers_are_erased_and_revoked_by_their_name(command: Command, cassandra: Session) -> None:
    """A name that nobody can sign up with, and an account without password, version and time."""
    user_id = uuid4()
    name = f"ext:{user_id.hex[:28]}"
    cassandra.execute("INSERT INTO usernames (username, user_id) VALUES (%s, %s) USING TIMESTAMP 1000", [name, user_id])
    cassandra.execute(
        "INSERT INTO users_by_id (user_id, username, state) VALUES (%s, %s, 'active') USING TIMESTAMP 1000",
        [user_id, name],
    )
    before = int(time.time() * 1000)
    for act, version in (("revoke", before), ("erase", before + 1)):
        done = command.run("user", act, name, *(["--yes"] if act == "erase" else []))
        assert done.code == 0, done.err
        row = cassandra.execute("SELECT * FROM users_by_id WHERE user_id = %s", [user_id]).one()
        assert row.token_version >= version
    assert (row.state, row.username) == ("erased", None)


def test_who_is_not_there_is_one_clear_line(command: Command) -> None:
    for nobody in (unique_name(), str(uuid4()), "no such name"):
        done = command.run("user", "revoke", nobody)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"Error: There is no account {nobody!r}")


def test_stores_are_given_whole_or_not_at_all_and_may_be_unreachable(stack: Stack) -> None:
    """Nothing hangs; what failed is said in one line."""
    address = f"{stack.cassandra.host}:{stack.cassandra.port}"
    assert run("user", "revoke", "ada", "--cassandra", address).code == 2
    nowhere = ("--redis-url", "redis://127.0.0.1:1/0", "--service-url", "pulsar://127.0.0.1:1")
    done = run("user", "revoke", "ada", "--cassandra", "127.0.0.1:1", *nowhere)
    assert done.code == 1
    assert done.err.startswith("Error: Cassandra does not answer at 127.0.0.1:1")
    assert len(done.err.splitlines()) == 1

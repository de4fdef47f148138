"""Signing up."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from .people import PASSWORD, code, sign_up, unique_name

if TYPE_CHECKING:
    from cassandra.cluster import Session

pytestmark = pytest.mark.stack


def register(client: httpx.Client, **fields: Any) -> httpx.Response:
    """Try to sign up."""
    return client.post("/user/register", json={"username": unique_name(), "password": PASSWORD, **fields})


def test_an_account_is_stored_whole_without_its_password(client: httpx.Client, cassandra: Session) -> None:
    answer = register(client, display_name="Ada")
    user_id = answer.json()["user_id"]
    row = cassandra.execute("SELECT * FROM users_by_id WHERE user_id = %s", [UUID(user_id)]).one()
    assert answer.status_code == 201
    assert (row.username, row.display_name, row.state) == (answer.json()["username"], "Ada", "active")
    assert row.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_name_is_taken_in_every_spelling(client: httpx.Client) -> None:
    name = sign_up(client).username
    full_width = "".join(chr(ord(letter) + 0xFEE0) for letter in name)
    for spelling in (name, name.upper(), full_width):
        assert code(register(client, username=spelling)) == (409, "username_taken")


def test_fifty_at_once_get_one_account_of_a_name(client: httpx.Client, cassandra: Session) -> None:
    for _ in range(3):
        name = unique_name()
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: register(client, username=name), range(50)))  # noqa: B023 - it ends here
        if httpx.codes.SERVICE_UNAVAILABLE not in {answer.status_code for answer in answers}:
            break
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 49}
    winner = next(answer.json()["user_id"] for answer in answers if answer.status_code == 201)
    accounts = cassandra.execute("SELECT user_id FROM users_by_id WHERE username = %s ALLOW FILTERING", [name])
    assert [str(row.user_id) for row in accounts] == [winner], "losers leave no account behind"


@pytest.mark.parametrize(
    ("fields", "field", "fault"),
    [
        ({"username": "q!"}, "username", "username_invalid"),
        ({"username": "a" * 33}, "username", "username_invalid"),
        ({"username": "\u0300" * 4_000}, "username", "username_invalid"),
        ({"username": "no spaces"}, "username", "username_invalid"),
        ({"username": "Zoë"}, "username", "username_invalid"),
        ({"username": 7}, "username", "string_type"),
        ({"password": "seven77"}, "password", "password_too_short"),
        ({"password": "x" * 129}, "password", "password_too_long"),
        ({"password": "\u0300" * 4_000}, "password", "password_too_long"),
        ({"password": "Football"}, "password", "password_common"),
        ({"display_name": "x" * 101}, "display_name", "string_too_long"),
        ({"is_admin": True}, "is_admin", "extra_forbidden"),
    ],
)
def test_a_field_that_does_not_fit_is_named_without_its_value(
    client: httpx.Client, fields: dict[str, Any], field: str, fault: str
) -> None:
    answer = register(client, **fields)
    assert code(answer) == (422, "invalid_fields")
    assert answer.json()["errors"] == [{"field": field, "code": fault}]
    assert not any(str(value) in answer.text for value in fields.values() if isinstance(value, str))


def test_a_password_may_be_any_characters_and_composes_alike(client: httpx.Client) -> None:
    """The same letters typed composed or decomposed are the same password (NFC)."""
    name = unique_name()
    assert register(client, username=name, password="pässwörter 🐎").status_code == 201
    decomposed = "pa\u0308sswo\u0308rter 🐎"
    answer = client.post("/user/login", json={"username": name, "password": decomposed})
    assert answer.status_code == 200

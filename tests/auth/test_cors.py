"""Pages of other origins: those that are named may call, nobody else's browser lets a page read an answer."""

from __future__ import annotations

import pytest

from user_auth.cors import NOBODY, Origins
from user_auth.http import Request, Router
from user_auth.settings import Settings

ORIGIN = "https://chat.example.org"
ORIGINS = Origins(frozenset({ORIGIN}))


def _request(method: str, origin: str | None, **headers: str) -> Request:
    given = {"origin": origin} if origin else {}
    return Request(method, "/nothing", {**given, **headers}, b"", "127.0.0.1")


def test_a_browser_that_asks_for_an_allowed_page_is_told_what_it_may_send() -> None:
    asked = _request("OPTIONS", ORIGIN, **{"access-control-request-method": "POST"})
    answer = Router((), ORIGINS).answer(asked)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_refusals_can_be_read_by_an_allowed_page_too() -> None:
    answer = Router((), ORIGINS).answer(_request("POST", ORIGIN))
    assert answer.status == 404
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("origin", [None, "https://evil.example.org", "null", f"{ORIGIN}.evil.example.org"])
@pytest.mark.parametrize("origins", [ORIGINS, NOBODY])
def test_no_other_page_is_allowed_anything(origin: str | None, origins: Origins) -> None:
    for asked in (_request("POST", origin), _request("OPTIONS", origin, **{"access-control-request-method": "POST"})):
        answer = Router((), origins).answer(asked)
        assert answer.status == 404
        assert not any(name.startswith("Access-Control") for name in answer.headers)


def test_answers_that_depend_on_the_origin_say_so_to_caches() -> None:
    assert Router((), ORIGINS).answer(_request("GET", None)).headers["Vary"] == "Origin"
    assert "Vary" not in Router((), NOBODY).answer(_request("GET", ORIGIN)).headers


def test_origins_are_read_from_the_environment() -> None:
    assert Settings.read({"CHATTIFIER_ORIGINS": f"{ORIGIN}, http://localhost:8088"}).origins == {
        ORIGIN,
        "http://localhost:8088",
    }
    assert Settings.read({}).origins == frozenset()

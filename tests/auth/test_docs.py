"""docs/accounts.md: every request on that page, in its order, is answered as the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from user_auth import app
from user_auth.settings import Settings

from .people import unique_name

PAGE = Path(__file__).parents[2] / "docs" / "accounts.md"


@dataclass(frozen=True)
class Exchange:
    """A request of the page and its answer. `body`: as many JSON texts as the answer has lines."""

    method: str
    path: str
    headers: dict[str, str]
    content: str
    status: int
    body: list[Any]


def exchanges(text: str) -> list[Exchange]:
    """Each request block is followed by the block of its answer."""
    blocks = re.findall(r"```http\n(.*?)\n```", text, re.DOTALL)
    assert len(blocks) % 2 == 0
    return [_exchange(*blocks[place : place + 2]) for place in range(0, len(blocks), 2)]


def _exchange(request: str, answer: str) -> Exchange:
    head, _, content = request.partition("\n\n")
    first, *headers = head.splitlines()
    method, path = first.split(" ")
    status, _, body = answer.partition("\n\n")
    named = dict(line.split(": ", 1) for line in headers)
    return Exchange(method, path, named, content, int(status.split(" ")[1]), _texts(body))


def _texts(body: str) -> list[Any]:
    """One JSON text, or one a line."""
    try:
        return [json.loads(body)] if body else []
    except ValueError:
        return [json.loads(line) for line in body.splitlines()]


def fits(said: Any, got: Any) -> bool:
    """`…` stands for any text, and a number of milliseconds for any other; all else is as it is said."""
    if isinstance(said, dict):
        return isinstance(got, dict) and said.keys() == got.keys() and all(fits(said[name], got[name]) for name in said)
    if isinstance(said, list):
        return isinstance(got, list) and len(said) == len(got) and all(map(fits, said, got))
    if said == "…":
        return isinstance(got, str) and got != ""
    return type(said) is type(got) and (said == got or (isinstance(said, int) and min(said, got) > 10**12))


def filled(text: str, known: Mapping[str, str]) -> str:
    """`<name>` stands for what an answer last had under that name."""
    return re.sub(r"<(\w+)>", lambda found: known[found[1]], text)


@pytest.mark.stack
def test_every_request_is_answered_as_the_page_says(client: httpx.Client) -> None:
    name = unique_name()
    page = (
        PAGE.read_text("utf-8")
        .replace('"ada"', f'"{name}"')
        .replace('"Ada", "password"', f'"{name.title()}", "password"')
    )
    known: dict[str, str] = {}
    for exchange in exchanges(page):
        headers = {header: filled(value, known) for header, value in exchange.headers.items()}
        content = filled(exchange.content, known).encode()
        answer = client.request(exchange.method, exchange.path, headers=headers, content=content)
        where = f"{exchange.method} {exchange.path}: {answer.status_code} {answer.text}"
        assert answer.status_code == exchange.status, where
        got = [json.loads(line) for line in answer.text.splitlines()]
        assert fits(exchange.body, got), where
        if answer.is_success and len(got) == 1:
            known.update({field: value for field, value in got[0].items() if isinstance(value, str)})


def test_the_page_shows_every_endpoint_of_accounts() -> None:
    """Those that take no part in anybody's session are left to the document."""
    shown = {(exchange.method, exchange.path) for exchange in exchanges(PAGE.read_text("utf-8"))}
    shown |= {("POST", "/user/logout")}  # in words
    endpoints = {(one.method, one.path) for one in app.router(Settings()).endpoints}
    apart = {("GET", path) for path in ("/user/healthz", "/user/openapi.json", "/.well-known/jwks.json")}
    assert shown == endpoints - apart

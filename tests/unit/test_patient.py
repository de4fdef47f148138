"""The tests' own way to ask again: only where a client would, and never for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.http_server import Quiet, http_server
from tests.patient import AsyncPatient, Patient, busy_pulsar, registered

Answer = tuple[int, str | None]
"""Status, and what Retry-After says."""


@contextmanager
def answering(*answers: Answer) -> Iterator[str]:
    """A server that gives these, one after the other, and the last one for ever."""
    left = list(answers)

    class Handler(Quiet):
        def do_GET(self) -> None:
            status, again = left.pop(0) if len(left) > 1 else left[0]
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            if again is not None:
                self.send_header("Retry-After", again)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

    with http_server(Handler) as url:
        yield url


@pytest.mark.parametrize(
    ("answers", "last"),
    [
        ([(503, "0"), (503, "0"), (204, None)], 204),
        ([(503, None), (204, None)], 503),
        ([(500, "0"), (204, None)], 500),
        ([(503, "3600"), (204, None)], 503),
    ],
)
@pytest.mark.anyio
async def test_who_is_asked_to_come_back_does(answers: list[Answer], last: int) -> None:
    with answering(*answers) as url, httpx.Client(transport=Patient()) as blocking:
        assert (await asyncio.to_thread(blocking.post, url, json={})).status_code == last
    with answering(*answers) as url:
        async with httpx.AsyncClient(transport=AsyncPatient()) as http:
            assert (await http.post(url, json={})).status_code == last


@pytest.mark.anyio
async def test_a_busy_pulsar_is_asked_again_and_told_nothing_twice() -> None:
    with answering((500, None), (409, None), (200, None)) as url:
        async with httpx.AsyncClient(transport=AsyncPatient(busy_pulsar)) as http:
            assert (await http.get(url)).status_code == 200
    with answering((500, None), (200, None)) as url:
        async with httpx.AsyncClient(transport=AsyncPatient(busy_pulsar)) as http:
            assert (await http.post(url)).status_code == 500


def test_an_account_that_was_made_before_a_503_is_not_in_the_way() -> None:
    with answering((503, "0"), (409, None), (201, None)) as url, httpx.Client(transport=Patient()) as http:
        assert registered(lambda: http.post(url)).status_code == 201


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"

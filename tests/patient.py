"""HTTP as a client does it that wants an answer: whoever is told to come back later does, as user-auth's 503 asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx

Pause = Callable[[httpx.Request, httpx.Response], float | None]
WITHIN = 30.0
"""Seconds until a part that cannot answer for the moment must."""


class Patient(httpx.HTTPTransport):
    """Asks again while the answer is a 503 that says when to."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The last answer."""
        deadline = time.monotonic() + WITHIN
        while True:
            answer = super().handle_request(request)
            if (pause := _asked_for(request, answer)) is None or time.monotonic() + pause > deadline:
                return answer
            answer.close()
            time.sleep(pause)


class AsyncPatient(httpx.AsyncHTTPTransport):
    """The same for asyncio; or as long as another `pause` says: seconds, or None of an answer that counts."""

    def __init__(self, pause: Pause | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._pause = pause or _asked_for

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The last answer."""
        deadline = time.monotonic() + WITHIN
        while True:
            answer = await super().handle_async_request(request)
            if (pause := self._pause(request, answer)) is None or time.monotonic() + pause > deadline:
                return answer
            await answer.aclose()
            await asyncio.sleep(pause)


def busy_pulsar(request: httpx.Request, answer: httpx.Response) -> float | None:
    """Asked of a function whose instance is being started, or of a topic that is being loaded or deleted, it fails."""
    busy = answer.is_server_error or answer.status_code == httpx.codes.CONFLICT
    return 0.2 if busy and request.method == "GET" else None


def _asked_for(_: httpx.Request, answer: httpx.Response) -> float | None:
    if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or "Retry-After" not in answer.headers:
        return None
    return float(answer.headers["Retry-After"])


def registered(register: Callable[[], httpx.Response]) -> httpx.Response:
    """The 201 of an account with a fresh name. A 409 says that the request before a 503 had made one: take another."""
    answer = register()
    if answer.status_code == httpx.codes.CONFLICT:
        answer = register()
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return answer

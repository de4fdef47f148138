"""The server API: every RPC method, as any user, over HTTP."""

from __future__ import annotations

import time
from typing import Any

import httpx

TRIES = 10


class Refused(Exception):
    """The backend said no. `code` is the stable word of the error."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotHeard(Exception):
    """The backend cannot answer, or does not know our token: nothing can be said of the call. Try it again later."""


class ServerApi:
    """Calls one gateway; which one does not matter."""

    def __init__(self, address: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=15, trust_env=False)

    def call(self, method: str, data: dict[str, Any], user: str | None = None) -> dict[str, Any]:
        """The method's result; `user` acts, or the system. Repeated while the backend cannot answer.

        Raises Refused, or NotHeard: then end, and take the event up again when you are started again.
        """
        body = {"method": method, "data": data} | ({"as": user} if user else {})
        for attempt in range(TRIES):
            try:
                answer = self._http.post("/api/rpc", json=body)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code < 500 and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return self._result(answer)
            time.sleep(min(5.0, 0.2 * 2**attempt))
        raise NotHeard(f"{method} was not answered")

    def _result(self, answer: httpx.Response) -> dict[str, Any]:
        body: dict[str, Any] = answer.json()
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise NotHeard("the service token is not accepted: has it expired?")
        if not answer.is_success:
            raise Refused(str(body.get("code", answer.status_code)))
        return body

"""Signs in for Schemathesis, which loads this file as its hooks."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import schemathesis

from tests.patient import Patient

PASSWORD = "correct horse battery"


@schemathesis.auth(refresh_interval=None)
class Visitor:
    """One account; a new session whenever a request has ended the last one."""

    def __init__(self) -> None:
        self._headers: dict[str, str] = {}
        self._account: dict[str, str] = {}

    def get(self, case: schemathesis.Case[Any], context: schemathesis.AuthContext) -> dict[str, str]:
        """The Authorization header of a live session."""
        with httpx.Client(base_url=case.operation.base_url or "", transport=Patient(), timeout=30) as client:
            if client.get("/user/me", headers=self._headers).status_code != 200:
                self._headers = self._sign_in(client)
        return self._headers

    def set(self, case: schemathesis.Case[Any], data: dict[str, str], context: schemathesis.AuthContext) -> None:
        """Put it into the request."""
        case.headers.update(data)

    def _sign_in(self, client: httpx.Client) -> dict[str, str]:
        if not self._account:
            self._account = {"username": f"visitor-{uuid4().hex[:20]}", "password": PASSWORD}
            client.post("/user/register", json=self._account).raise_for_status()
        tokens = client.post("/user/login", json=self._account).raise_for_status().json()
        return {"Authorization": f"Bearer {tokens['access_token']}"}

"""Signing up and in over HTTP, and the tokens that keep the socket open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from centrifuge import UnauthorizedError

from chattifier.errors import ChatFailed

WAIT = 30.0


class Account:
    """One session of one user. Raises ChatFailed with the server's own words where it refuses."""

    def __init__(self, auth: str, username: str) -> None:
        self._http = httpx.AsyncClient(base_url=auth, timeout=WAIT, trust_env=False)
        self._username = username
        self._tokens: Mapping[str, Any] = {}
        self._used = True
        self._turn = asyncio.Lock()

    @property
    def user(self) -> str:
        """The user's id, once signed in."""
        return str(self._tokens["user_id"])

    async def sign_up(self, password: str) -> None:
        """Make the account."""
        await self._post("/user/register", {"username": self._username, "password": password})

    async def sign_in(self, password: str) -> None:
        """Begin a session."""
        body = {"username": self._username, "password": password, "device": "terminal"}
        self._tokens, self._used = await self._post("/user/login", body), False

    async def token(self) -> str:
        """An access token that was not given out yet. Raises UnauthorizedError when the session has ended."""
        async with self._turn:  # a refresh token that is used twice ends the session
            if self._used:
                try:
                    self._tokens = await self._post("/user/refresh", {"refresh_token": self._tokens["refresh_token"]})
                except ChatFailed as error:
                    if error.status == httpx.codes.UNAUTHORIZED:
                        raise UnauthorizedError("the session has ended") from error
                    raise
            self._used = True
            return str(self._tokens["access_token"])

    async def sign_out(self) -> None:
        """End the session, if the server can be reached."""
        headers = {"Authorization": f"Bearer {self._tokens.get('access_token')}"}
        try:
            await self._http.post("/user/logout", headers=headers)
        except httpx.HTTPError:
            return
        finally:
            await self._http.aclose()

    async def _post(self, path: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            response = await self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise ChatFailed(f"The auth function does not answer at {self._http.base_url}.") from error
        answer: Mapping[str, Any] = response.json()
        if not response.is_success:
            detail = answer.get("detail") or answer.get("title") or "no reason given"
            raise ChatFailed(f"{path} was refused: {detail}", response.status_code)
        return answer

"""External issuers: somebody else's access tokens open sockets like ours. Their keys are fetched and kept here."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Final

import jwt
import structlog
from jwt import PyJWKClient, PyJWKClientError

from socket_gateway import keys
from socket_gateway.keys import Keys, KeysStaleError
from socket_gateway.settings import ExternalIssuer

log = structlog.get_logger()

ALGORITHMS: Final = frozenset(
    ["EdDSA", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
)
"""Whose public half cannot sign."""
REFRESH: Final = 300.0
"""Seconds between two looks at a key set: so soon a key that was withdrawn is out of use."""
PAUSE: Final = 2.0
"""Seconds between two looks at least: strangers with keys that nobody has cannot make us ask more often."""
REMEMBER: Final = 30.0
"""Seconds for which a key that was missing is believed to be, once the set has been looked at."""
MISSING: Final = 1000
"""Missing keys that are remembered."""
TIMEOUT: Final = 5.0


class RemoteKeys:
    """The key set behind a URL. `run` fetches it; `get` never waits."""

    def __init__(self, url: str) -> None:
        self._client = PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT)
        self._url = url
        self._keys: Keys = {}
        self._fetched = float("-inf")
        self._missing: dict[str, float] = {}
        self._wanted = asyncio.Event()

    def get(self, kid: str) -> jwt.PyJWK | None:
        """See keys.KeySource."""
        key = self._keys.get(kid)
        if key is None and self._missed(kid) >= self._fetched:
            self._wanted.set()
            raise KeysStaleError
        return key

    def _missed(self, kid: str) -> float:
        """When it was first asked for: only a look at the set behind that says that there is no such key."""
        now = time.monotonic()
        if now - self._missing.get(kid, float("-inf")) > REMEMBER:
            if len(self._missing) >= MISSING:
                self._missing.clear()
            self._missing[kid] = now
        return self._missing[kid]

    async def run(self) -> None:
        """Fetch now, then whenever a key is missed or time is over, until cancelled. If it fails, old keys stay."""
        while True:
            self._wanted.clear()
            await self._fetch()
            await asyncio.sleep(PAUSE)
            try:
                async with asyncio.timeout(REFRESH):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _fetch(self) -> None:
        began = time.monotonic()
        try:
            fetched = keys.read(json.dumps(await asyncio.to_thread(self._client.fetch_data)).encode(), ALGORITHMS)
        except (PyJWKClientError, ValueError, OSError, RecursionError) as error:
            log.warning("issuer_keys_unreachable", url=self._url, error=type(error).__name__)
            return
        if fetched.keys() != self._keys.keys():
            log.info("issuer_keys_read", url=self._url, kids=sorted(fetched))
        self._keys, self._fetched = fetched, began


class Issuer:
    """One external issuer: what its tokens must say, and its keys."""

    def __init__(self, setting: ExternalIssuer) -> None:
        self.name = setting.issuer
        self.audience = setting.audience
        self.user_claim = setting.user_claim
        self.keys = RemoteKeys(setting.jwks_url)
        self.algorithms = ALGORITHMS

"""Access tokens: Ed25519 JWTs of user-auth, verified with public keys from a JWKS file.

Whether the session still exists is not known here: archive answers that when the session opens.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import jwt
import structlog
from pydantic import BaseModel, Field, ValidationError

from pulsar_data.tokens import AccessClaims

log = structlog.get_logger()

ALGORITHM: Final = "EdDSA"
LONGEST: Final = 8 * 1024
REREAD: Final = 1.0
"""Seconds: how often at most the key file is looked at."""
Keys = dict[str, Any]


class TokenError(Exception):
    """The token is refused. Says nothing about why: that is for nobody to learn."""


class TokenExpiredError(TokenError):
    """The token was good once: the client should bring a new one."""


class KeyFile:
    """The keys by `kid`. The file is read again when it changes; a broken one leaves the keys as they were."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: Keys = {}
        self._stamp: tuple[int, int, int] | None = None
        self._looked = float("-inf")

    def get(self, kid: str) -> object | None:
        """The public key of that id, if there is one."""
        now = time.monotonic()
        if now - self._looked >= REREAD:
            self._looked = now
            self._refresh()
        return self._keys.get(kid)

    def _refresh(self) -> None:
        # A small local file: reading it is quicker than handing it to a thread.
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp != self._stamp:
                self._keys = _read(self._path)
                self._stamp = stamp
                log.info("keys_read", kids=sorted(self._keys))
        except (OSError, ValueError, jwt.PyJWTError) as error:
            log.warning("keys_unreadable", path=str(self._path), error=type(error).__name__)


class _KeySet(BaseModel):
    """RFC 7517, 5: as much of it as makes a wrong file an error here and nowhere else."""

    keys: list[dict[str, Any]] = Field(min_length=1)


def _read(path: Path) -> Keys:
    """Raises OSError, ValueError or jwt.PyJWTError; keys of other kinds than ours are passed over."""
    entries = _KeySet.model_validate_json(path.read_bytes()).keys
    ours = (jwt.PyJWK.from_dict(entry) for entry in entries if entry.get("kty") == "OKP")
    return {key.key_id: key.key for key in ours if key.key_id and key.algorithm_name == ALGORITHM}


class Tokens:
    """Verifies. Signature, algorithm, issuer, audience and expiry are checked, in that order of trust."""

    def __init__(self, keys: KeyFile, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def verify(self, token: str) -> AccessClaims:
        """The claims. Raises TokenExpiredError, or TokenError for anything else that is wrong with it."""
        if not 0 < len(token) <= LONGEST:
            raise TokenError
        try:
            return AccessClaims.model_validate(self._decode(token))
        except jwt.ExpiredSignatureError as error:
            raise TokenExpiredError from error
        except (jwt.PyJWTError, ValidationError, ValueError, RecursionError) as error:
            raise TokenError from error

    def _decode(self, token: str) -> dict[str, Any]:
        key: Any = self._keys.get(str(jwt.get_unverified_header(token).get("kid", "")))
        if key is None:
            raise TokenError
        return jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            options={"require": ["exp", "iat", "sub", "iss", "aud"]},
        )

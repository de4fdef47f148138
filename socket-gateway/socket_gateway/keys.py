"""Public keys by `kid`: of a file that is read again when it changes, and what of a JSON Web Key Set is good for us."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import jwt
import structlog
from pydantic import BaseModel, Field

log = structlog.get_logger()

OURS: Final = frozenset({"EdDSA"})
"""What our own tokens are signed with."""
REREAD: Final = 1.0
"""Seconds: how often at most the key file is looked at."""
Keys = Mapping[str, jwt.PyJWK]


class KeysStaleError(Exception):
    """The key is not known here, but it may be new: ask again in a moment."""


class KeySource(Protocol):
    """Where keys come from."""

    def get(self, kid: str) -> jwt.PyJWK | None:
        """The public key of that id, None if there is none. Raises KeysStaleError if that cannot be said yet."""


class KeyFile:
    """The keys by `kid`. The file is read again when it changes; a broken one leaves the keys as they were."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: Keys = {}
        self._stamp: tuple[int, int, int] | None = None
        self._looked = float("-inf")

    def get(self, kid: str) -> jwt.PyJWK | None:
        """See KeySource. It always knows."""
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
                found = read(self._path.read_bytes(), OURS)
                if not found:
                    raise ValueError("there is none of ours in it")  # we have at least one, always
                self._keys = found
                self._stamp = stamp
                log.info("keys_read", kids=sorted(self._keys))
        except (OSError, ValueError) as error:
            log.warning("keys_unreadable", path=str(self._path), error=type(error).__name__)


class _KeySet(BaseModel):
    """RFC 7517, 5: as much of it as makes a wrong set an error here and nowhere else."""

    keys: list[dict[str, Any]] = Field(min_length=1)


def read(text: bytes, algorithms: Collection[str]) -> Keys:
    """The keys of a set that these algorithms can use. Raises ValueError if it is no set.

    Others are left aside, as the standard wants it: sets have keys for encryption as well, and kinds of tomorrow.
    """
    found = [_usable(entry, algorithms) for entry in _KeySet.model_validate_json(text).keys]
    return {str(key.key_id): key for key in found if key is not None}


def _usable(entry: Mapping[str, Any], algorithms: Collection[str]) -> jwt.PyJWK | None:
    """Secrets (`oct`) are not: whoever verifies must not be able to sign."""
    if entry.get("kty") not in ("OKP", "EC", "RSA") or not isinstance(entry.get("kid"), str) or not entry["kid"]:
        return None
    if entry.get("use") not in (None, "sig"):
        return None
    try:
        key = jwt.PyJWK.from_dict(dict(entry))
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return key if key.algorithm_name in algorithms else None

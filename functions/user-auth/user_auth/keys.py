"""The Ed25519 keys that sign access tokens: a folder of `<kid>.pem`, read again whenever it changes.

The last by name signs. Others must know a key before it does: where its name is the time at which it was made
(`20260131T120000Z`), it signs five minutes later, and the one before it goes on meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from user_auth import logs
from user_auth.errors import Unavailable
from user_auth.models import KeySet, PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the folder."""
SIGNS_AFTER: Final = timedelta(minutes=5)
"""As long as a new key takes to be known everywhere: answers with the public keys are kept for that time, and a cluster
takes its time to hand a change on."""
_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)

_Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class KeyRing:
    """The keys at one moment. All of them verify."""

    signing_kid: str
    signing: Ed25519PrivateKey
    public: Mapping[str, Ed25519PublicKey]

    def published(self) -> KeySet:
        """The JSON Web Key Set."""
        return KeySet(keys=tuple(_public_key(kid, key) for kid, key in sorted(self.public.items())))


class KeyFolder:
    """The ring of a folder. A folder that cannot be read keeps the last ring that could."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._keys: Mapping[str, Ed25519PrivateKey] = {}
        self._ring: KeyRing | None = None
        self._stamp: _Stamp = ()
        self._looked_at = float("-inf")

    def ring(self) -> KeyRing:
        """The keys now. Raises Unavailable where the folder has never held any."""
        with self._lock:
            if time.monotonic() - self._looked_at >= _LOOK_EVERY:
                self._look()
            if self._ring is None:
                self._looked_at = float("-inf")
                raise Unavailable("There is no signing key. Try again shortly.")
            return self._ring

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        try:
            stamp = _stamp(self._folder)
            if self._ring is None or stamp != self._stamp:
                self._keys, self._stamp = _read(self._folder), stamp
            self._ring = _ring(self._keys, datetime.now(UTC))
        except (OSError, ValueError) as error:
            logs.failure(
                "signing_keys_unreadable", error, folder=str(self._folder),
                hint="put unencrypted PKCS8 Ed25519 keys there as <kid>.pem; it is read again at once",
            )  # fmt: skip


def _stamp(folder: Path) -> _Stamp:
    """What changes when a key is added, removed or replaced; follows links, as mounted secrets are made of them."""
    files = [(path.name, path.stat()) for path in sorted(folder.glob("*.pem"))]
    return tuple((name, stat.st_mtime_ns, stat.st_ino) for name, stat in files)


def _read(folder: Path) -> Mapping[str, Ed25519PrivateKey]:
    """By kid. Raises OSError, or ValueError where there is no key or one is not an Ed25519 key."""
    keys = {path.stem: _private_key(path) for path in sorted(folder.glob("*.pem"))}
    if not keys:
        raise ValueError("the folder holds no <kid>.pem")
    return keys


def _ring(keys: Mapping[str, Ed25519PrivateKey], now: datetime) -> KeyRing:
    signs = signing_kid(keys, now)
    return KeyRing(signs, keys[signs], {kid: key.public_key() for kid, key in keys.items()})


def signing_kid(kids: Collection[str], now: datetime) -> str:
    """Which of these keys (at least one) signs: the last that is old enough; if none is, the first."""
    return max((kid for kid in kids if _known_since(kid) + SIGNS_AFTER <= now), default=min(kids))


def _known_since(kid: str) -> datetime:
    """The time in a kid; one that is no time was always known, as far as we can tell."""
    try:
        made = datetime.fromisoformat(kid)
    except ValueError:
        return _ALWAYS
    return made if made.tzinfo is not None else _ALWAYS


def _private_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")
    return key


def _public_key(kid: str, key: Ed25519PublicKey) -> PublicKey:
    from base64 import urlsafe_b64encode

    x = urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode()
    return PublicKey(kty="OKP", crv="Ed25519", x=x, kid=kid, use="sig", alg="EdDSA")

"""Keys of access tokens and of services. A local stack's are made once, and gateways get their public halves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from chattifier.errors import StackError
from chattifier.layout import Layout
from pulsar_data.tokens import ServiceClaims

ISSUER: Final = "chattifier"
"""Issuer and audience of all tokens of a local stack."""


def ensure(layout: Layout) -> None:
    """Make the signing keys unless they are there, and write the public keys of all there are."""
    _ensure(layout.signing_keys, layout.jwks)
    _ensure(layout.service_keys, layout.service_jwks)


def _ensure(folder: Path, published: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not list(folder.glob("*.pem")):
        _make(folder / f"{kid(datetime.now(UTC))}.pem")
    try:
        public = jwks({path.stem: path.read_bytes() for path in folder.glob("*.pem")})
    except ValueError as error:
        raise StackError(f"A key in {folder} cannot be read: delete it, or put it right. {error}") from error
    new = published.with_suffix(".new")
    new.write_text(public)
    new.replace(published)


def kid(moment: datetime) -> str:
    """The name of a key that is made at that moment: user-auth reads from it from when on it may sign."""
    return f"{moment:%Y%m%dT%H%M%SZ}"


def private_key() -> bytes:
    """A new one, as PKCS8 PEM."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def jwks(pems: Mapping[str, bytes]) -> str:
    """The public halves of these keys, given by kid, as a JWKS. Raises ValueError for one that is none."""
    return json.dumps({"keys": [_public(kid, pem) for kid, pem in sorted(pems.items())]}, indent=2)


def service_token(folder: Path, name: str, seconds: int) -> str:
    """A token with which a server may call every method. Raises StackError if there is no key that signs it."""
    keys = sorted(folder.glob("*.pem"))
    if not keys:
        raise StackError(f"There is no key of services in {folder}: `chattifier up` makes one.")
    now = int(time.time())
    claims = ServiceClaims(iss=ISSUER, aud=ISSUER, sub=name, scope="service", iat=now, exp=now + seconds)
    return jwt.encode(claims.to_dict(), keys[-1].read_text(), algorithm="EdDSA", headers={"kid": keys[-1].stem})


def _make(path: Path) -> None:
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(private_key())
    new.replace(path)  # whole or not at all


def _public(kid: str, pem: bytes) -> dict[str, str]:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # not its text
        raise ValueError(f"{kid}.pem is no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{kid}.pem is not an Ed25519 key")
    jwk = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "kid": kid, "use": "sig", "alg": "EdDSA"}

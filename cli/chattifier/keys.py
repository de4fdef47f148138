"""The key that signs access tokens on a local stack: made once, its public half published to the gateways."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from chattifier.layout import Layout


def ensure(layout: Layout) -> None:
    """Make a signing key unless there is one, and write the public keys of all there are."""
    layout.signing_keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not list(layout.signing_keys.glob("*.pem")):
        _make(layout.signing_keys / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.pem")
    public = [_public(path) for path in sorted(layout.signing_keys.glob("*.pem"))]
    new = layout.jwks.with_suffix(".new")
    new.write_text(json.dumps({"keys": public}, indent=2))
    new.replace(layout.jwks)


def _make(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


def _public(path: Path) -> dict[str, str]:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey), f"{path} is not an Ed25519 key"
    jwk = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "kid": path.stem, "use": "sig", "alg": "EdDSA"}

"""The key file: keys come and go while the gateway runs."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from socket_gateway import keys
from socket_gateway.keys import KeyFile
from socket_gateway.tokens import TokenError, TokenExpiredError, Tokens


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between two looks at the file."""
    monkeypatch.setattr(keys, "REREAD", 0.0)


def _publish(path: Path, **keys: Ed25519PrivateKey) -> None:
    entries = [
        json.loads(OKPAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "alg": "EdDSA"} for kid, key in keys.items()
    ]
    path.write_text(json.dumps({"keys": entries}))


def _token(key: Ed25519PrivateKey, kid: str, ahead: int = 0) -> str:
    now = int(time.time()) + ahead
    claims = {"iss": "i", "aud": "a", "sub": str(uuid.uuid4()), "sid": str(uuid.uuid4()), "ver": 1}
    return jwt.encode(claims | {"iat": now, "exp": now + 60}, key, algorithm="EdDSA", headers={"kid": kid})


def test_keys_rotate_without_a_restart(tmp_path: Path) -> None:
    """A new key is known once it is in the file, an old one as long as it is; a file without it ends it."""
    path, one, two = tmp_path / "jwks.json", Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    verifier = Tokens(KeyFile(path), issuer="i", audience="a")
    with pytest.raises(TokenError):
        verifier.verify(_token(one, "one"))
    _publish(path, one=one)
    verifier.verify(_token(one, "one"))
    _publish(path, one=one, two=two)
    verifier.verify(_token(one, "one"))
    verifier.verify(_token(two, "two"))
    _publish(path, two=two)
    with pytest.raises(TokenError):
        verifier.verify(_token(one, "one"))


def test_a_broken_file_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    """Half-written JSON, or none: sign-ins go on."""
    path, key = tmp_path / "jwks.json", Ed25519PrivateKey.generate()
    verifier = Tokens(KeyFile(path), issuer="i", audience="a")
    _publish(path, one=key)
    verifier.verify(_token(key, "one"))
    for broken in ('{"keys": [', "[]", '{"keys": []}', '{"keys": [5]}', '{"keys": [{"kty": "OKP", "x": "?"}]}', "null"):
        path.write_text(broken)
        verifier.verify(_token(key, "one"))
    path.unlink()
    verifier.verify(_token(key, "one"))


def test_whoever_signs_may_be_an_hour_ahead(tmp_path: Path) -> None:
    """Not a day: that is no clock that is wrong. When a token ends is judged by our own clock to the second."""
    path, key = tmp_path / "jwks.json", Ed25519PrivateKey.generate()
    verifier = Tokens(KeyFile(path), issuer="i", audience="a")
    _publish(path, one=key)
    verifier.verify(_token(key, "one", ahead=3600))
    with pytest.raises(TokenError):
        verifier.verify(_token(key, "one", ahead=86_400))
    with pytest.raises(TokenExpiredError):
        verifier.verify(_token(key, "one", ahead=-62))

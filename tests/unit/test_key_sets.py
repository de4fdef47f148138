"""Key sets of others: what is of no use to us is left aside, and what is no set is an error."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from socket_gateway import keys
from socket_gateway.issuers import ALGORITHMS

Jwk = dict[str, object]
X25519 = base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()


def _good(**more: object) -> Jwk:
    jwk: Jwk = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    return {**jwk, "kid": "good", "alg": "ES256", "use": "sig", **more}


@pytest.mark.parametrize(
    "other",
    [
        {"kty": "RSA", "kid": "enc", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "kid": "oaep", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
        {"kty": "OKP", "kid": "x", "crv": "X25519", "x": X25519},
        {"kty": "EC", "kid": "of tomorrow", "crv": "P-9000", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "broken", "crv": "P-256", "x": 5, "y": []},
        {"kty": "EC", "kid": "list", "alg": [], "crv": "P-256"},
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {"kty": ["EC"]},
        _good(kid=5),
        _good(kid=[]),
        _good(kid=""),
        _good(kid="for encryption", use="enc"),
        {},
    ],
)
def test_a_key_that_is_of_no_use_takes_no_other_with_it(other: Jwk) -> None:
    """Before or behind it: some issuers publish what they encrypt with as well, and some what nobody knows yet."""
    for entries in ([other, _good()], [_good(), other]):
        assert list(keys.read(json.dumps({"keys": entries}).encode(), ALGORITHMS)) == ["good"]


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b'{"keys":[]}', b'{"keys":5}', b'{"keys":[5]}', b"[" * 10_000],
)
def test_what_is_no_set_is_an_error(text: bytes) -> None:
    """So that the keys from before stay."""
    with pytest.raises(ValueError, match=r".+"):
        keys.read(text, ALGORITHMS)


def test_a_set_without_a_key_for_us_has_none() -> None:
    """What was withdrawn is out of use, also where nothing has taken its place."""
    assert keys.read(b'{"keys":[{"kty":"oct","kid":"secret","k":"c2VjcmV0"}]}', ALGORITHMS) == {}

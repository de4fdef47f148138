"""Somebody else's identity provider: keys that rotate, a JWKS behind HTTP, tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

from tests.http_server import Quiet, http_server

NAME = "https://id.example.org/"
AUDIENCE = "chat"
SECRET = b"secret-secret-secret-secret-secret"


class Issuer:
    """`serve` answers for it; `asked` counts how often its keys were fetched."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.asked = 0
        self.works = True
        self.url = ""

    def add(self, kid: str, kind: str = "ES256") -> None:
        """A new key, beside the others."""
        self.keys[kid] = (
            ec.generate_private_key(ec.SECP256R1())
            if kind == "ES256"
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )

    def published(self) -> bytes:
        """The JWKS."""
        entries = []
        for kid, key in self.keys.items():
            of = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
            entries.append(json.loads(of.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"})
        # A shared secret in a key set is no key for us: whoever can read it could sign.
        entries.append({"kty": "oct", "kid": "shared", "k": base64url_encode(SECRET).decode(), "alg": "HS256"})
        return json.dumps({"keys": entries}).encode()

    def token(self, subject: object, *, kid: str | None = None, **changes: object) -> str:
        """Of its newest key, or another."""
        now, kid = int(time.time()), kid or list(self.keys)[-1]
        claims: Mapping[str, object] = {"iss": NAME, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600}
        algorithm = "ES256" if isinstance(self.keys[kid], ec.EllipticCurvePrivateKey) else "RS256"
        return jwt.encode({**claims, **changes}, self.keys[kid], algorithm=algorithm, headers={"kid": kid})


@contextmanager
def serving(issuer: Issuer) -> Iterator[None]:
    """The JWKS at `issuer.url`."""

    class Answer(Quiet):
        def do_GET(self) -> None:
            issuer.asked += 1
            body = issuer.published() if issuer.works else b"not now"
            self.send_response(200 if issuer.works else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http_server(Answer) as url:
        issuer.url = f"{url}/jwks.json"
        yield

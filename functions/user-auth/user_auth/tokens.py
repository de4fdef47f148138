"""Access tokens (signed, 15 minutes) and refresh tokens (opaque, good once)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

from pulsar_data.model import UserId
from pulsar_data.tokens import ISSUED_AHEAD, AccessClaims
from user_auth.errors import Code, Refused
from user_auth.keys import KeyFolder

_REFRESH: Final = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")
_HALF: Final = 16
"""Bytes."""
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


@dataclass(frozen=True)
class AccessTokens:
    """Makes and checks the tokens of one issuer. `lifetime` in seconds."""

    keys: KeyFolder
    issuer: str
    audience: str
    lifetime: int

    def issue(self, user: UUID, session: UUID, version: int, now_ms: int) -> str:
        """A token for a session of a user, signed with the newest key. Raises Unavailable without a key."""
        import jwt

        ring, seconds = self.keys.ring(), now_ms // 1000
        claims = AccessClaims(
            iss=self.issuer, aud=self.audience, sub=UserId(str(user)), sid=str(session), ver=version,
            iat=seconds, exp=seconds + self.lifetime,
        )  # fmt: skip
        return jwt.encode(claims.to_dict(), ring.signing, algorithm="EdDSA", headers={"kid": ring.signing_kid})

    def check(self, token: str) -> AccessClaims:
        """The claims of a token with a good signature, issuer, audience and time. Raises Refused 401.

        Says nothing of the session: whether it lives is in Cassandra.
        """
        import jwt

        try:
            return AccessClaims.model_validate(self._decode(token))
        except jwt.ExpiredSignatureError as error:
            raise Refused(Code.TOKEN_EXPIRED, "The access token has expired: refresh it.", _CHALLENGE) from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:  # the last: brackets within brackets as a header
            raise invalid_token() from error

    def _decode(self, token: str) -> dict[str, Any]:
        import jwt

        key = self.keys.ring().public.get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise invalid_token()
        required = ["exp", "iat", "iss", "aud", "sub"]
        decoded: dict[str, Any] = jwt.decode(
            token, key, algorithms=["EdDSA"], issuer=self.issuer, audience=self.audience,
            options={"require": required, "verify_iat": False},
        )  # fmt: skip
        issued = decoded["iat"]
        if not isinstance(issued, (int, float)) or issued > time.time() + ISSUED_AHEAD:
            raise jwt.ImmatureSignatureError
        return decoded


def invalid_token() -> Refused:
    """What a request without a good access token gets."""
    return Refused(Code.INVALID_TOKEN, "This needs the access token of a live session as Bearer.", _CHALLENGE)


@dataclass(frozen=True)
class RefreshToken:
    """`<user>.<session>.<secret>`: whose it is, and 256 random bits of which only hashes are kept.

    Half of them are the same in all tokens of a session, its family: who has that has had one of them, and who only
    knows user and session, which are no secrets, cannot pass for a thief and so end the session.
    """

    user: UUID
    session: UUID
    family: bytes
    own: bytes

    @classmethod
    def new(cls, user: UUID, session: UUID, family: bytes = b"") -> Self:
        """A token that nobody has seen, the first of its family or the next."""
        return cls(user, session, family or secrets.token_bytes(_HALF), secrets.token_bytes(_HALF))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what was never a token of ours."""
        found = _REFRESH.fullmatch(text)
        if found is None:
            return None
        secret = base64.urlsafe_b64decode(f"{found[3]}=")
        return cls(UUID(found[1]), UUID(found[2]), secret[:_HALF], secret[_HALF:])

    def __str__(self) -> str:
        secret = base64.urlsafe_b64encode(self.family + self.own).decode().rstrip("=")
        return f"{self.user.hex}.{self.session.hex}.{secret}"

    def __repr__(self) -> str:
        return f"RefreshToken({self.user}, {self.session})"

    @property
    def lineage(self) -> str:
        """The session, and its family without telling it."""
        return f"{self.session} {_digest(self.family).hex()}"

    @property
    def digest(self) -> bytes:
        """What is kept. Plain SHA-256 is enough: there are 2**128 secrets to guess from, and as many families."""
        return _digest(self.family) + _digest(self.family + self.own)

    def is_of_session(self, kept: bytes) -> bool:
        """Whether this is, or was, a token of the session of which this digest is kept."""
        return hmac.compare_digest(self.digest[:_HALF], kept[:_HALF])

    def is_latest(self, kept: bytes) -> bool:
        """Whether this is the token whose digest is kept."""
        return hmac.compare_digest(self.digest, kept)


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()[:_HALF]

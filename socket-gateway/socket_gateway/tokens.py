"""Tokens: JWTs of user-auth and of configured external issuers, verified with public keys.

Whether the session still exists is not known here: archive answers that when the session opens.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from pydantic import ValidationError

from pulsar_data import ids
from pulsar_data.model import UserId
from pulsar_data.tokens import ISSUED_AHEAD, AccessClaims, ExternalUser, ServiceClaims
from socket_gateway.issuers import Issuer
from socket_gateway.keys import OURS, KeySource, KeysStaleError

LONGEST: Final = 8 * 1024
CLOCKS: Final = 10
"""Seconds by which the clock of an external issuer may differ from ours."""


class TokenError(Exception):
    """The token is refused. Says nothing about why: that is for nobody to learn."""


class TokenExpiredError(TokenError):
    """The token was good once: the client should bring a new one."""


class TokenUndecidedError(TokenError):
    """Its key may be one that we do not have yet: the same token may be good in a moment."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who has shown a token, and until when it is good (seconds since the epoch).

    `external`: the token is one of an external issuer; then `session` is derived and `version` is when it was issued.
    """

    user: UserId
    session: str
    version: int
    expires: int
    external: ExternalUser | None = None

    @property
    def claims(self) -> dict[str, Any]:
        """What archive judges: fields of OpenSession and CheckSession."""
        return {"session": self.session, "version": self.version, "external": self.external}


class Tokens:
    """Verifies. Signature, algorithm, issuer, audience and expiry are checked, in that order of trust."""

    def __init__(self, keys: KeySource, *, issuer: str, audience: str, external: Sequence[Issuer] = ()) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._external: Mapping[str, Issuer] = {one.name: one for one in external}

    def verify(self, token: str) -> Identity:
        """Whose it is. Raises TokenExpiredError, TokenUndecidedError, or TokenError for anything else wrong with it."""
        try:
            issuer = self._external.get(_issuer(token)) if self._external else None
            return self._ours(token) if issuer is None else _theirs(token, issuer)
        except jwt.ExpiredSignatureError as error:
            raise TokenExpiredError from error
        except KeysStaleError as error:
            raise TokenUndecidedError from error
        except (jwt.PyJWTError, ValidationError, ValueError, RecursionError) as error:
            raise TokenError from error

    def _ours(self, token: str) -> Identity:
        claims = AccessClaims.model_validate(decode(token, self._keys, self._issuer, self._audience, OURS))
        return Identity(claims.sub, claims.sid, claims.ver, claims.exp)


class ServiceTokens:
    """Verifies tokens of servers that may call every method: keys of their own, and the scope `service`."""

    def __init__(self, keys: KeySource, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def verify(self, token: str) -> str:
        """The service's name. Raises TokenError."""
        try:
            claims = ServiceClaims.model_validate(decode(token, self._keys, self._issuer, self._audience, OURS))
        except (jwt.PyJWTError, ValidationError, ValueError, RecursionError) as error:
            raise TokenError from error
        if not claims.serves:
            raise TokenError
        return claims.sub


def _theirs(token: str, issuer: Issuer) -> Identity:
    try:
        claims = decode(token, issuer.keys, issuer.name, issuer.audience, issuer.algorithms, CLOCKS, CLOCKS)
    except jwt.ImmatureSignatureError as error:  # in a moment it is good; if our clock is slow, at another gateway
        raise TokenUndecidedError from error
    subject, issued = _subject(claims.get(issuer.user_claim)), int(claims["iat"])
    user = ids.external_user(issuer.name, subject)
    name = claims.get("name")
    external = ExternalUser(issuer=issuer.name, name=name[:100] if isinstance(name, str) and name.strip() else None)
    return Identity(user, ids.external_session(user), issued * 1000, int(claims["exp"]), external)


def _subject(claim: object) -> str:
    """Some products number their users."""
    if isinstance(claim, bool) or not isinstance(claim, (str, int)) or not 0 < len(str(claim)) <= 255:
        raise ValueError("the claim that names the user is missing, or of another kind")
    return str(claim)


def _issuer(token: str) -> str:
    """What the token says of itself: only which keys it is checked against. Raises jwt.PyJWTError, ValueError."""
    if not 0 < len(token) <= LONGEST:
        raise ValueError("no token, or a very long one")
    unchecked = jwt.decode(token, options={"verify_signature": False})
    return str(unchecked.get("iss", ""))


def decode(
    token: str,
    keys: KeySource,
    issuer: str,
    audience: str,
    algorithms: frozenset[str],
    leeway: int = 0,
    ahead: int = ISSUED_AHEAD,
) -> dict[str, Any]:
    """The claims of a good token. Raises jwt.PyJWTError, KeysStaleError, TokenError, ValueError, RecursionError.

    `leeway` of its expiry and `ahead` of its time of issue, in seconds, are for clocks that differ.
    """
    if not 0 < len(token) <= LONGEST:
        raise TokenError
    key = keys.get(str(jwt.get_unverified_header(token).get("kid", "")))
    if key is None:
        raise TokenError
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[key.algorithm_name] if key.algorithm_name in algorithms else [],
        issuer=issuer,
        audience=audience,
        leeway=leeway,
        options={"require": ["exp", "iat", "iss", "aud"], "verify_iat": False},
    )
    issued = claims["iat"]
    if not isinstance(issued, (int, float)) or issued > time.time() + ahead:
        raise jwt.ImmatureSignatureError
    return claims

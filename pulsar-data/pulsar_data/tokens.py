"""Claims of an access token and the revocations that user-auth tells the gateways."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from pulsar_data.model import Evolving, Milliseconds, Model, User, Uuid

ISSUED_AHEAD = 2 * 3600
"""Seconds by which the time of issue of a token of ours may be ahead. Session and version decide, not this; but
a machine whose clock is an hour slow must not throw out for good whoever has just signed in elsewhere."""


class AccessClaims(Model):
    """The payload of an access token (EdDSA JWT, 15 min). `exp` and `iat` in seconds, as RFC 7519."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)  # a JWT may carry claims of others

    iss: str
    aud: str
    sub: User
    sid: Uuid
    ver: int
    iat: int
    exp: int


class ServiceClaims(Model):
    """The payload of a service token: a server that may call every method. `sub` is its name, for the audit log."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    iss: str
    aud: str
    sub: Annotated[str, Field(min_length=1, max_length=100)]
    scope: str
    iat: int
    exp: int

    @property
    def serves(self) -> bool:
        """Whether its scopes (RFC 8693, separated by spaces) hold `service`."""
        return "service" in self.scope.split(" ")


class ExternalUser(Model):
    """Somebody whom an external issuer vouches for: a user of ours from the first token on."""

    issuer: str
    name: str | None = None


class SessionsRevoked(Evolving):
    """On topic `sessions`: sockets of this user must close with 3503.

    `session` alone: only that one (logout). `except_session`: all but that one (password change). Neither: all.
    """

    type: Literal["sessions_revoked"] = "sessions_revoked"
    user: User
    session: Uuid | None = None
    except_session: Uuid | None = None
    time: Milliseconds

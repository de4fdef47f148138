"""What an operator may choose. Read once, at the entry point; nothing else reads the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pulsar_data import traces
from pulsar_data.config import GatewayLimits

MIB: Final = 1024 * 1024


class Limits(GatewayLimits):
    """Times in seconds, sizes in bytes. The defaults are the protocol's; tests shorten the waits.

    Those that it inherits may change while the gateway runs: see `pulsar_data.config.Live`.
    """

    connect: float = 5.0
    """A socket that has not connected by then is stale (3502)."""
    request: float = 10.0
    """An HTTP request must be there whole by then, that of a handshake too: who sends more slowly is cut off."""
    newcomers: int = 2000
    """Sockets that have shown no good token yet. One more, and the oldest is stale at once (3502): the edge lets in
    2,000 at once, and 500 a second, of which none but an attacker's are still silent after four."""
    newcomer: float = 1.0
    """So old the oldest must be; where all are younger it is a crowd, and the one more is to come again (3013)."""
    ping: int = 25
    pong: float = 10.0
    query: float = 2.0
    """How long a client waits for a read; archive drops it then as well."""
    opening: float = 4.5
    """How long a connect may wait for archive. SDKs wait 5 s; giving up sooner would have a crowd ask twice."""
    command: float = 5.0
    """How long a client waits for a change. The change may still happen: it is repeated with the same key."""
    frame: int = MIB
    """Bytes of what may come at once."""
    first: int = 256 * 1024
    """Bytes of the first command, which has positions, and is parsed before anybody knows whose it is."""
    kernel: int = 256 * 1024
    """Bytes the kernel may hold for a socket besides: left to itself it grows to megabytes for a reader that sleeps."""
    owed: int = 256 * MIB
    """Bytes that all clients together have not taken, those in the kernel too: above it the users who owe the most are
    cut off (3008). With what a gateway needs else it is to fit into the memory it is given, 768 MiB in k8s/base."""
    stall: float = 10.0
    """Who takes nothing of what it is owed for so long counts as slow (3008), and the connection is aborted."""
    linger: float = 3.0
    """How long a close frame may take to be read before the connection is cut."""
    address_connections: int = 0
    """Connections from one address at one gateway; one more is closed with 3504. 0: as many as come."""
    backlog: int = 20_000
    """Publications kept for openings under way; more fails the oldest of them."""
    heartbeat: float = 0.25
    """So soon a gateway sees that Redis has lost its data; a beat is one small call."""
    sweep: float = 5.0
    undertaking: float = 15.0
    """So long a gateway's heartbeat may be missing before the others tell that its users are gone."""
    touch: float = 900.0
    """How often presence is written again, so that it does not expire (after an hour)."""


class ExternalIssuer(BaseModel):
    """An issuer beside us: whose tokens open sockets like ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1)
    """The `iss` of its tokens, exactly."""
    jwks_url: str = Field(pattern=r"^https?://")
    """Where its public keys are."""
    audience: str = Field(min_length=1)
    """The `aud` that its tokens must have: tokens for others of its customers are none for us."""
    user_claim: str = "sub"
    """Which claim names the user, for ever the same for the same person."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is."""

    redis_url: str
    pulsar_url: str
    jwks_file: Path
    pulsar_token: str | None = field(default=None, repr=False)
    pulsar_ca_file: Path | None = None
    """Authorities (PEM) that vouch for Pulsar; without it those that are known to everybody."""
    issuer: str = "chattifier"
    audience: str = "chattifier"
    external_issuers: tuple[ExternalIssuer, ...] = ()
    service_jwks_file: Path | None = None
    """Public keys of service tokens; without it there is no server API."""
    host: str = "127.0.0.1"
    port: int = 8001
    address_header: str = ""
    """The header in which our own edge names the client's address, whatever X-Forwarded-For has become on the way."""
    trusted_proxies: int = 0
    """Without that header: so many of the last hops in X-Forwarded-For were written by proxies of ours."""
    traces: Mapping[str, str] = field(default_factory=dict, repr=False)
    """OpenTelemetry's variables, where they name an exporter of traces; without them nothing is recorded."""
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Raises ValueError that names the variable, for people."""
        return cls(
            redis_url=environ.get("CHATTIFIER_REDIS_URL", "redis://127.0.0.1:6379/0"),
            pulsar_url=environ.get("CHATTIFIER_PULSAR_URL", "pulsar://127.0.0.1:6650"),
            jwks_file=Path(_required(environ, "CHATTIFIER_JWKS_FILE")),
            pulsar_token=environ.get("CHATTIFIER_PULSAR_TOKEN") or None,
            pulsar_ca_file=_file(environ, "CHATTIFIER_PULSAR_CA_FILE"),
            issuer=environ.get("CHATTIFIER_ISSUER", "chattifier"),
            audience=environ.get("CHATTIFIER_AUDIENCE", "chattifier"),
            external_issuers=_issuers(environ.get("CHATTIFIER_EXTERNAL_ISSUERS", "")),
            service_jwks_file=Path(service) if (service := environ.get("CHATTIFIER_SERVICE_JWKS_FILE")) else None,
            host=environ.get("CHATTIFIER_HOST", "127.0.0.1"),
            port=_port(environ.get("CHATTIFIER_PORT", "8001")),
            address_header=environ.get("CHATTIFIER_ADDRESS_HEADER", ""),
            trusted_proxies=_count(environ, "CHATTIFIER_TRUSTED_PROXIES"),
            traces=traces.exporter(environ),
            limits=Limits(address_connections=_count(environ, "CHATTIFIER_ADDRESS_CONNECTIONS")),
        )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise ValueError(f"{name} is not set: it names the file with the public keys that verify access tokens")
    return value


def _file(environ: Mapping[str, str], name: str) -> Path | None:
    path = Path(environ[name]) if environ.get(name) else None
    if path is not None and not path.is_file():
        raise ValueError(f"{name} is {str(path)!r}: there is no such file")
    return path


def _issuers(text: str) -> tuple[ExternalIssuer, ...]:
    try:
        issuers = _ISSUERS.validate_json(text or "[]")
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"CHATTIFIER_EXTERNAL_ISSUERS is not a JSON list of issuers: {wrong}") from error
    if len({one.issuer for one in issuers}) < len(issuers):
        raise ValueError("CHATTIFIER_EXTERNAL_ISSUERS names an issuer twice")
    return issuers


_ISSUERS: Final = TypeAdapter(tuple[ExternalIssuer, ...])


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"CHATTIFIER_PORT is {text!r}: it must be a number from 1 to 65535")
    return int(text)


def _count(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name) or "0"
    if not text.isdecimal():
        raise ValueError(f"{name} is {text!r}: it must be a number, 0 or more")
    return int(text)

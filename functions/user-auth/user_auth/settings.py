"""What the environment says, read once at the entry point; nothing else reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, FilePath

from pulsar_data.traces import exporter


class Limit(BaseModel):
    """At most `count` attempts in any window of `seconds`, counted from the first one."""

    model_config = ConfigDict(frozen=True)

    count: int = Field(ge=1)
    seconds: int = Field(ge=1)

    @classmethod
    def parse(cls, text: str) -> Self:
        """`60/10` is sixty in ten seconds. Raises ValueError."""
        count, slash, seconds = text.partition("/")
        if not slash:
            raise ValueError(f"a limit is written count/seconds, not {text!r}")
        return cls(count=int(count), seconds=int(seconds))


DEFAULT_LIMITS: Final[Mapping[str, Limit]] = {
    "register-address": Limit(count=60, seconds=3600),  # an office behind one address signs up on one morning
    "login-address": Limit(count=120, seconds=60),
    "login-account": Limit(count=10, seconds=60),  # 14,400 guesses a day at most, none of them a common password
    "login-known": Limit(count=10, seconds=60),  # the same, from where its owner signed in before
    "password-account": Limit(count=10, seconds=60),  # guesses of who has a session: at a new password, at erasing
    "refresh-address": Limit(count=600, seconds=60),
    "refresh-session": Limit(count=20, seconds=60),
    "export-account": Limit(count=4, seconds=3600),  # each reads all messages of all rooms of its user
}
"""Names are what CHATTIFIER_AUTH_LIMITS uses. Addresses are generous: many people may share one."""


class Settings(BaseModel):
    """All that user-auth can be told. Durations in seconds."""

    model_config = ConfigDict(frozen=True)

    cassandra: tuple[tuple[str, int], ...] = (("127.0.0.1", 9042),)
    cassandra_username: str | None = None
    cassandra_password: str | None = Field(default=None, repr=False)
    cassandra_ca_file: FilePath | None = None
    """Authorities (PEM) that vouch for Cassandra's nodes; with it TLS is spoken."""
    keyspace: str = "chat"
    redis_url: str = "redis://127.0.0.1:6379/0"
    pulsar_url: str = "pulsar://127.0.0.1:6650"
    pulsar_token: str | None = Field(default=None, repr=False)
    pulsar_ca_file: FilePath | None = None
    """Authorities (PEM) that vouch for Pulsar; without it those that are known to everybody."""
    signing_keys: Path = Path("keys")
    issuer: str = "chattifier"
    audience: str = "chattifier"
    access_seconds: int = 15 * 60
    session_seconds: int = 30 * 24 * 3600
    name_kept_seconds: int = Field(default=30 * 24 * 3600, ge=1, le=20 * 365 * 24 * 3600)
    trusted_proxies: int = Field(default=0, ge=0)
    address_header: str = ""
    """The header in which our own edge names the client's address, whatever X-Forwarded-For has become on the way."""
    origins: frozenset[str] = frozenset()
    """Origins (`https://chat.example.org`) whose pages may call; a page of our own origin needs no entry."""
    limits: Mapping[str, Limit] = DEFAULT_LIMITS
    traces: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """OpenTelemetry's variables, where they name an exporter of traces; without them nothing is recorded."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """The settings of these environment variables; absent ones keep their defaults. Raises ValueError."""
        values: dict[str, object] = {
            field: environment[variable] for variable, field in _PLAIN.items() if environment.get(variable)
        }
        if addresses := environment.get("CHATTIFIER_CASSANDRA"):
            values["cassandra"] = tuple(_address(part) for part in addresses.split(","))
        if origins := environment.get("CHATTIFIER_ORIGINS"):
            values["origins"] = frozenset(part.strip() for part in origins.split(",") if part.strip())
        values["limits"] = _limits(environment.get("CHATTIFIER_AUTH_LIMITS", ""))
        values["traces"] = exporter(environment)
        return cls.model_validate(values)


_PLAIN: Final = {
    "CHATTIFIER_CASSANDRA_USERNAME": "cassandra_username",
    "CHATTIFIER_CASSANDRA_PASSWORD": "cassandra_password",
    "CHATTIFIER_CASSANDRA_CA_FILE": "cassandra_ca_file",
    "CHATTIFIER_KEYSPACE": "keyspace",
    "CHATTIFIER_REDIS_URL": "redis_url",
    "CHATTIFIER_PULSAR_URL": "pulsar_url",
    "CHATTIFIER_PULSAR_TOKEN": "pulsar_token",
    "CHATTIFIER_PULSAR_CA_FILE": "pulsar_ca_file",
    "CHATTIFIER_SIGNING_KEYS": "signing_keys",
    "CHATTIFIER_ISSUER": "issuer",
    "CHATTIFIER_AUDIENCE": "audience",
    "CHATTIFIER_TRUSTED_PROXIES": "trusted_proxies",
    "CHATTIFIER_ADDRESS_HEADER": "address_header",
    "CHATTIFIER_SESSION_SECONDS": "session_seconds",
    "CHATTIFIER_NAME_KEPT_SECONDS": "name_kept_seconds",
}


def _address(text: str) -> tuple[str, int]:
    """`host:port`, or `host` for the usual port."""
    host, _, port = text.strip().rpartition(":")
    return (host, int(port)) if host else (port, 9042)


def _limits(text: str) -> Mapping[str, Limit]:
    """`off`, or changes to the defaults: `login-account=5/60,register-address=1000/60`."""
    if text.strip() == "off":
        return {}
    changes = {name.strip(): value for name, _, value in (part.partition("=") for part in text.split(",") if part)}
    if unknown := changes.keys() - DEFAULT_LIMITS.keys():
        raise ValueError(
            f"CHATTIFIER_AUTH_LIMITS is `off` or `name=count/seconds,...` with names of {sorted(DEFAULT_LIMITS)},"
            f" not {sorted(unknown)}"
        )
    return {**DEFAULT_LIMITS, **{name: Limit.parse(value) for name, value in changes.items()}}

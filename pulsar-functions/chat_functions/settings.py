"""Settings of the functions: read once, from the function's user config and, for what is secret, the environment of
its worker; passed in everywhere else.

Those of the groups that it inherits may change while a function runs: see `pulsar_data.config.Live`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, FilePath, StringConstraints

from pulsar_data.config import Limits, Recovery, Storing

HostPort = Annotated[str, StringConstraints(pattern=r"^[^:,\s]+:\d{1,5}$")]


class Settings(Limits, Recovery, Storing):
    """What `pulsar-admin functions create --user-config '{...}'` carries. Times in milliseconds unless named."""

    model_config = ConfigDict(strict=False)

    cassandra: str = "127.0.0.1:9042"
    """Contact points, host:port, comma separated."""
    keyspace: str = "chat"
    cassandra_username: str = ""
    cassandra_password: str = Field(default="", repr=False)
    cassandra_ca_file: FilePath | None = None
    """Authorities (PEM) that vouch for Cassandra's nodes; with it TLS is spoken."""
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)

    key_hours: int = Field(default=24, ge=24)
    """How long Redis remembers an idempotency key; Cassandra remembers for ever, and is asked from 22 h on."""
    gateway_age: int = 10_000
    """A gateway without a heartbeat for so long gets nothing."""
    search: bool = True
    """Whether search-index runs; without it message.search is answered with 108."""
    batch: int = Field(default=1000, ge=1)
    """The most messages worked at once."""
    in_flight: int = Field(default=4000, ge=1)
    """Messages taken and not yet acked; at that `process` blocks, which is the backpressure."""
    attempts: int = Field(default=3, ge=1)
    """Deaths of an instance of one message, worked by itself, before it is a dead letter: see deaths.py."""
    traces: dict[str, str] = Field(default_factory=dict, repr=False)
    """OpenTelemetry's variables, where they name an exporter of traces: `chattifier deploy` gives those of its own."""
    crash_at: dict[str, float] = Field(default_factory=dict)
    """For tests only: point -> probability of killing the process there; see `CrashPoints.pass_by` in the handlers."""
    breaks_on: str = ""
    """For tests only: an instance dies of an error at the work of a message that has this in it."""

    def contact_points(self) -> list[tuple[str, int]]:
        """Host and port of each Cassandra contact point."""
        pairs = (point.strip().rsplit(":", 1) for point in self.cassandra.split(","))
        return [(host, int(port)) for host, port in pairs]

    @classmethod
    def read(cls, config: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
        """What the user config does not say, the environment may. Raises pydantic.ValidationError that names the bad
        field.
        """
        there = {field: environment[name] for name, field in _IN_ENVIRONMENT.items() if environment.get(name)}
        return cls.model_validate({**there, **config})


_IN_ENVIRONMENT: Final = {
    "CHATTIFIER_CASSANDRA_USERNAME": "cassandra_username",
    "CHATTIFIER_CASSANDRA_PASSWORD": "cassandra_password",
    "CHATTIFIER_CASSANDRA_CA_FILE": "cassandra_ca_file",
    "CHATTIFIER_REDIS_URL": "redis_url",
}
"""The user config of a function can be read by whoever may read the functions of the tenant; this cannot."""

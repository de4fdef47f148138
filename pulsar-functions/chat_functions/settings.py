"""Settings of the functions: read once from the function's user config, passed in everywhere else."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

HostPort = Annotated[str, StringConstraints(pattern=r"^[^:,\s]+:\d{1,5}$")]


class Settings(BaseModel):
    """What `pulsar-admin functions create --user-config '{...}'` carries. Times in milliseconds unless named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cassandra: str = "127.0.0.1:9042"
    """Contact points, host:port, comma separated."""
    keyspace: str = "chat"
    redis_url: str = "redis://127.0.0.1:6379/0"

    text_limit: int = 4000
    """Characters of a message."""
    meta_limit: int = 4096
    """Bytes of a message's meta as JSON."""
    member_limit: int = 10_000
    """Members of a room."""
    room_limit: int = 2000
    """Rooms of a user. Two that it enters at the same moment may be one too many."""
    small_room: int = 50
    """Up to so many members a room is told what each of them has read; else only the reader's own devices are."""
    recent_events: int = 500
    """Committed events kept in Redis per room: what a reconnect recovers without Cassandra."""
    log_days: int = 30
    """How long room_log keeps events for recovery."""
    key_hours: int = 24
    """How long Redis remembers an idempotency key; Cassandra remembers for ever."""
    unknown_rooms_a_minute: int = 20
    """How many rooms that no table knows a user may ask for; each costs a marker in the log."""
    gateway_age: int = 10_000
    """A gateway without a heartbeat for so long gets nothing."""
    presence_members: int = 1000
    """Members of a room that can still show who is there: each of them is asked about."""
    recover_bytes: int = 1024 * 1024
    """The most a session opening recovers, and a page of a room's history holds."""
    recover_events: int = 5000
    """The most events that are recovered of one room; those that Redis does not keep are read from the log."""
    search: bool = True
    """Whether search-index runs; without it message.search is answered with 108."""
    store_interval: int = 50
    """message-store works a batch so often at most: nobody waits for it, and fuller batches cost Cassandra far less."""
    index_interval: int = 2000
    """search-index works a batch so often at most: archive looks through what is younger than 10 s itself."""
    batch: int = Field(default=1000, ge=1)
    """The most messages worked at once."""
    in_flight: int = Field(default=4000, ge=1)
    """Messages taken and not yet acked; at that `process` blocks, which is the backpressure."""
    attempts: int = 5
    """Failures of one message for reasons that are its own before it is a dead letter."""
    crash_at: dict[str, float] = Field(default_factory=dict)
    """For tests only: point -> probability of killing the process there; see `CrashPoints.pass_by` in the handlers."""

    def contact_points(self) -> list[tuple[str, int]]:
        """Host and port of each Cassandra contact point."""
        pairs = (point.strip().rsplit(":", 1) for point in self.cassandra.split(","))
        return [(host, int(port)) for host, port in pairs]

    @classmethod
    def from_user_config(cls, config: dict[str, Any]) -> Settings:
        """Raises pydantic.ValidationError that names the bad field."""
        return cls.model_validate(config)

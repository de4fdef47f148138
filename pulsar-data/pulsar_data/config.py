"""Settings that change while everything runs: what may be set, within which bounds, and how it is published.

They come in groups. Each group is one message of the compacted topic `config`, keyed by the group's name: the last one
is in force, on top of what a part was started with. A group says only what differs; what it does not name is as the
part was started.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from pydantic import Field, JsonValue, ValidationError

from pulsar_data.model import Milliseconds, Model

Values: TypeAlias = Mapping[str, JsonValue]


class Limits(Model):
    """What may be said and who may come together. Judged by chat-router and archive."""

    text_limit: int = Field(4000, ge=1, le=20_000, description="Characters of a message.")
    meta_limit: int = Field(4096, ge=0, le=65_536, description="Bytes of a message's meta as JSON.")
    member_limit: int = Field(10_000, ge=2, le=100_000, description="Members of a room. Who is in it stays.")
    room_limit: int = Field(
        2000, ge=1, le=10_000,
        description="Rooms of a user. Two that it enters at the same moment may be one too many.",
    )  # fmt: skip
    departures_a_day: int = Field(
        8000, ge=2, le=9000,
        description="How often a user may have left rooms, or been put out, and enter others; after half as many others"
        " cannot put them into rooms. Each leaves a mark in the user's list for ten days, and Cassandra reads 100,000"
        " of them at most.",
    )  # fmt: skip
    reactions_a_day: int = Field(
        100, ge=1, le=9000,
        description="How often a user may react to one message, or take a reaction back; to those of one room twenty"
        " times as often. For the same reason.",
    )  # fmt: skip
    small_room: int = Field(
        50, ge=0, le=10_000,
        description="Up to so many members a room is told what each of them has read; else only the reader's own"
        " devices are.",
    )  # fmt: skip
    presence_members: int = Field(
        1000, ge=0, le=10_000,
        description="Members of a room that can still show who is there: each of them is asked about.",
    )  # fmt: skip
    unknown_rooms_a_minute: int = Field(
        20, ge=1, le=10_000,
        description="How many rooms that no table knows a user may ask for; each costs a marker in the log.",
    )  # fmt: skip


class Recovery(Model):
    """What a client that comes back gets. Kept by chat-router and message-store, read by archive."""

    recent_events: int = Field(
        500, ge=100, le=5000,
        description="Committed events kept in Redis per room: what a reconnect recovers without Cassandra.",
    )  # fmt: skip
    recover_events: int = Field(
        5000, ge=0, le=50_000,
        description="The most events that are recovered of one room; those that Redis does not keep are read from"
        " the log.",
    )  # fmt: skip
    recover_bytes: int = Field(
        1_048_576, ge=65_536, le=4_194_304,
        description="Bytes: the most that a page of a room's history holds, and that a session opening recovers, which"
        " is 2 MiB at most.",
    )  # fmt: skip
    log_days: int = Field(
        30, ge=1, le=3650,
        description="Days for which the log keeps events for recovery. Holds for what is said from then on.",
    )  # fmt: skip


class Storing(Model):
    """How often message-store and search-index write: less often is cheaper for Cassandra."""

    store_interval: int = Field(
        50, ge=0, le=1000,
        description="Milliseconds between two batches of message-store. Nobody waits for them.",
    )  # fmt: skip
    index_interval: int = Field(
        2000, ge=0, le=5000,
        description="Milliseconds between two batches of search-index. Archive looks through what is younger than"
        " 10 s itself.",
    )  # fmt: skip


class GatewayLimits(Model):
    """How much, how fast and how often. Judged by each gateway for itself."""

    text: int = Field(
        65_536, ge=65_536, le=1_048_576,
        description="Bytes of one command, with everything in it. A longer `text_limit` may need more.",
    )  # fmt: skip
    unsent: int = Field(
        1_048_576, ge=65_536, le=67_108_864,
        description="Bytes that a socket may owe its client before it counts as slow (3008).",
    )  # fmt: skip
    inflight: int = Field(
        128, ge=1, le=10_000,
        description="Unanswered commands of one connection; one more is too many requests (111). Fewer, but four, "
        "where a gateway waits for more than this in all: less what is beyond.",
    )  # fmt: skip
    commands: float = Field(
        100.0, gt=0, le=100_000,
        description="Commands a second of one user at one gateway. One counts again for each 4 KiB that it has.",
    )  # fmt: skip
    commands_burst: int = Field(
        400, ge=1, le=100_000,
        description="How many commands at once: above that 111, above twice that 3013.",
    )  # fmt: skip
    commands_pause: float = Field(
        20.0, ge=0, le=3600,
        description="Seconds: who was closed for that (3013) is not let in for so long and up to half as long again, "
        "by chance; then with 16 at once, until they were not closed for it for as long. Each time before that it is "
        "twice as long, up to 32 times.",
    )  # fmt: skip
    user_connections: int = Field(
        50, ge=1, le=10_000,
        description="Connections of one user at one gateway; one more is closed with 3504. Those that are there stay.",
    )  # fmt: skip
    calls: float = Field(
        200.0, gt=0, le=100_000,
        description="Calls of the server API a second, of one service at one gateway.",
    )  # fmt: skip
    calls_burst: int = Field(400, ge=1, le=100_000, description="How many of them at once; above that 429.")
    calls_at_once: int = Field(
        256, ge=1, le=10_000,
        description="Calls of the server API that wait for their answers; one more is too many requests (429).",
    )  # fmt: skip
    typing: float = Field(
        1.0, ge=0, le=3600,
        description="Seconds: so often a socket may say that its user types, per room. What comes sooner tells nothing"
        " new and is dropped.",
    )  # fmt: skip
    typing_rooms: int = Field(
        5, ge=1, le=1000,
        description="In so many rooms within that time; one more is too many requests (111).",
    )  # fmt: skip
    absence: float = Field(
        3.0, ge=0, le=60,
        description="Seconds that a user may be gone before others are told: who reconnects meanwhile never left.",
    )  # fmt: skip
    rejoin: float = Field(
        30.0, ge=0, le=600,
        description="Seconds over which sockets are closed (3010) when Redis has lost its data.",
    )  # fmt: skip
    drain: float = Field(
        3.0, ge=0, le=30,
        description="Seconds over which the closes of a shutdown are spread, so that clients do not all come back at"
        " once. The pod's grace period must have room for it.",
    )  # fmt: skip


GROUPS: Final[Mapping[str, type[Model]]] = {
    "limits": Limits,
    "recovery": Recovery,
    "storing": Storing,
    "gateway": GatewayLimits,
}
"""Every group by its name, which is the key of its messages and the name of its file."""


class SettingError(ValueError):
    """A group, a setting or a value that is none. The text is for people, one line, and says what is allowed."""


class Published(Model):
    """A message of topic `config`. A later version of this project may publish another `format`: that is no error."""

    format: Literal[1] = 1
    group: str
    values: dict[str, JsonValue]
    """What the group sets; everything else of it is as each part was started."""
    version: str
    """Git's commit, or a hash of the values."""
    source: str
    """Where it came from: a file, a repository without the credentials in its address."""
    by: str
    """Who did it: the author of the commit, or who ran the command."""
    time: Milliseconds


def check(group: str, values: object) -> dict[str, JsonValue]:
    """The values as they are published: only what was given, each of its own type. Raises SettingError."""
    kind = GROUPS.get(group)
    if kind is None:
        raise SettingError(f"there is no group {_shown(group)}{_guess(group, GROUPS)}: there are {', '.join(GROUPS)}")
    if not isinstance(values, Mapping):
        raise SettingError(f"{group} must be names with values, such as {next(iter(kind.model_fields))}: 1")
    try:
        return kind.model_validate(dict(values)).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise SettingError("; ".join(_reason(group, kind, one["loc"][0], values) for one in error.errors())) from error


def allowed(kind: type[Model], name: str) -> str:
    """Which values a setting takes, in words."""
    shape = _shape(kind, name)
    number = "a whole number" if shape["type"] == "integer" else "a number"
    low = f"from {shape['minimum']} to" if "minimum" in shape else f"above {shape['exclusiveMinimum']}, up to"
    return f"{number} {low} {shape['maximum']}"


def _reason(group: str, kind: type[Model], name: object, values: Mapping[Any, Any]) -> str:
    if name not in kind.model_fields:
        known = kind.model_fields
        return f"there is no setting {group}.{_shown(name)}{_guess(name, known)}: there are {', '.join(known)}"
    return f"{group}.{name} is {_shown(values[name])}: it must be {allowed(kind, str(name))}"


def _shape(kind: type[Model], name: str) -> dict[str, Any]:
    shape: dict[str, Any] = kind.model_json_schema()["properties"][name]
    return {key: f"{value:g}" if isinstance(value, float) else value for key, value in shape.items()}


def _shown(value: object) -> str:
    """Whatever somebody wrote, on one line, and not much of it."""
    text = "nothing" if value is None else value if isinstance(value, str) and value.isidentifier() else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _guess(name: object, known: Mapping[str, object]) -> str:
    close = get_close_matches(str(name), known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def reason(error: ValueError) -> str:
    """Why `Live.apply` did not take a message, on one line."""
    if isinstance(error, ValidationError):
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'message'}: {one['type']}" for one in error.errors())
        return f"not a setting of this version: {wrong}"
    return str(error)


S = TypeVar("S", bound=Model)


class Live(Generic[S]):
    """The settings in force in one process: those that it was started with, and on top of them what was published.

    `now` is replaced as a whole. One thread applies; any thread may read.
    """

    def __init__(self, started: S) -> None:
        self.now = started
        self._started = started
        self._published: dict[str, dict[str, JsonValue]] = {}

    def apply(self, payload: bytes) -> Published | None:
        """Take a message of the topic. None if its group is none of this process.

        Raises ValueError for one that is broken, or of a later version: then everything stays as it is.
        """
        published = Published.from_json(payload)
        values = check(published.group, published.values)
        if not isinstance(self._started, GROUPS[published.group]):
            return None
        self._published[published.group] = values
        given = {name: value for group in self._published.values() for name, value in group.items()}
        self.now = self._started.model_copy(update=given)
        return published

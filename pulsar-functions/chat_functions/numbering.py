"""The numbers of a room: NUMBER, COMMIT and SEED, as typed calls and answers around the Lua scripts.

NUMBER assigns `offset` and `seq` *pending*; the event is published under them; COMMIT makes them visible. A command
that comes again finds its numbers by its key. All three refuse a room whose head Redis does not have, or has from
another run: that room is lost, and rebuild.py brings it back under a higher epoch. Read marks take no number, so they
have scripts of their own: MAY_READ, and once the mark is in the log, MARK_READ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from redis.asyncio.client import Pipeline

from chat_functions.changes import Change
from chat_functions.redis_link import Script, call
from pulsar_data import redis_keys
from pulsar_data.model import RoomId, UserId

COMMIT = Script("commit")
MAY_READ = Script("may_read")
MARK_READ = Script("mark_read")
FENCE = Script("fence")
HOLD = Script("hold")
SEED = Script("seed")
OPEN_ROOM = Script("open_room")
READ_ROOM = Script("read_room")
LIVE_GATEWAYS = Script("live_gateways")
LEASE = Script("lease")
FILL = Script("fill")
RAISE_TOKEN = Script("raise_token")
LET_PASS = Script("let_pass")

Operation = Literal[
    "send", "edit", "delete", "react", "unreact", "create", "update",
    "join", "leave", "add", "remove", "role", "mute", "ban", "unban",
]  # fmt: skip
_SEND, _MESSAGE, _ROOM, _MEMBER = (Script("number", rules) for rules in ("send", "message", "room", "member"))
NUMBER: dict[Operation, Script] = {
    "send": _SEND, "edit": _MESSAGE, "delete": _MESSAGE, "react": _MESSAGE, "unreact": _MESSAGE,
    "create": _ROOM, "update": _ROOM,
    "join": _MEMBER, "leave": _MEMBER, "add": _MEMBER, "remove": _MEMBER, "role": _MEMBER, "mute": _MEMBER,
    "ban": _MEMBER, "unban": _MEMBER,
}  # fmt: skip
"""NUMBER with the rules of each operation."""
SCRIPTS = (
    _SEND, _MESSAGE, _ROOM, _MEMBER, COMMIT, MAY_READ, MARK_READ, FENCE, HOLD, SEED, OPEN_ROOM, READ_ROOM,
    LIVE_GATEWAYS, LEASE, FILL, RAISE_TOKEN, LET_PASS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What NUMBER is asked. `origin` tells a redelivery of one command from a client's repeat of it."""

    room: RoomId
    operation: Operation
    actor: UserId
    key: str
    digest: str
    origin: str
    looked_up: int | None
    """The epoch in which Cassandra did not know the key: in a later one it must be asked again."""
    made: int
    """When the client made the key, as it says, ms; 0 if that is so long ago that Redis may have forgotten the key."""
    verdict: int | None = None
    """The error that limits or the named users are: unknown, say. It counts only if the rules would let it pass."""
    asks: tuple[str | int, ...] = ()
    """What the operation's rules want to know: see lua/rules/."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a command got: for the first time, or again. `visible` is the room's visible offset at that moment."""

    epoch: int
    offset: int
    seq: int
    time: int
    visible: int
    committed: bool
    duplicate: bool
    expires: int = 0
    """When its message is forgotten, ms; 0 never."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A read mark that rises: in which epoch, and how far the room is visible."""

    epoch: int
    head: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The rules say no; `code` is an ErrorCode."""

    code: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """There is nothing to change: the event of that number and time had done it."""

    offset: int
    time: int


@dataclass(frozen=True, slots=True)
class LookUp:
    """Redis cannot know whether this key is new: Cassandra can, in this epoch."""

    epoch: int


@dataclass(frozen=True, slots=True)
class FindMessage:
    """Redis does not remember the message that is to be changed: Cassandra does."""


Outcome = (
    Numbers | Mark | Refused | Unchanged | LookUp | FindMessage
    | Literal["lost", "no_room", "conflict", "exists", "read"]
)  # fmt: skip


def queue_number(pipe: Pipeline, run_id: str, request: Request, now: int, key_ttl: int) -> None:
    """Queue NUMBER; its answer goes to `read_number`."""
    room = request.room
    keys = [
        redis_keys.head(room), redis_keys.members(room), redis_keys.idempotency(room, request.actor, request.key),
        redis_keys.banned(room), redis_keys.recent(room), redis_keys.reactions(room),
        redis_keys.muted(room),
    ]  # fmt: skip
    call(
        pipe, NUMBER[request.operation], keys,
        [run_id, now, request.operation, request.actor, request.digest, request.origin,
         "" if request.looked_up is None else request.looked_up,
         key_ttl, request.made, "" if request.verdict is None else request.verdict, *request.asks],
    )  # fmt: skip


def queue_may_read(pipe: Pipeline, run_id: str, room: RoomId, reader: UserId, seq: int) -> None:
    """Queue MAY_READ; its answer goes to `read_number`."""
    call(pipe, MAY_READ, [redis_keys.head(room), redis_keys.members(room)], [run_id, reader, seq])


def read_number(answer: Sequence[str]) -> Outcome:
    """The typed answer."""
    outcome = answer[0]
    if outcome in ("new", "pending", "done"):
        epoch, offset, seq, time, visible, duplicate, expires = map(int, answer[1:8])
        return Numbers(epoch, offset, seq, time, visible, outcome == "done", bool(duplicate), expires)
    if outcome == "mark":
        return Mark(int(answer[1]), int(answer[2]))
    if outcome == "refused":
        return Refused(int(answer[1]))
    if outcome == "same":
        return Unchanged(int(answer[1]), int(answer[2]))
    if outcome == "look_up":
        return LookUp(int(answer[1]))
    if outcome == "message":
        return FindMessage()
    return outcome  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Commit:
    """One durable event to make visible. `changed_seq`: of the message that it edits or deletes."""

    room: RoomId
    actor: UserId
    key: str
    epoch: int
    offset: int
    seq: int
    event: bytes
    is_message: bool
    changed_seq: int | None = None
    changes: tuple[Change, ...] = ()


def queue_commit(pipe: Pipeline, run_id: str, commit: Commit, recent: int) -> None:
    """Queue COMMIT; its answer goes to `read_commit`."""
    room = commit.room
    keys = [
        redis_keys.head(room), redis_keys.members(room), redis_keys.recent(room),
        redis_keys.idempotency(room, commit.actor, commit.key), redis_keys.interest(room), redis_keys.banned(room),
    ]  # fmt: skip
    args: list[str | int | bytes] = [
        run_id, commit.epoch, commit.offset, commit.seq, commit.event, recent,
        1 if commit.is_message else "", commit.actor, "" if commit.changed_seq is None else commit.changed_seq,
    ]  # fmt: skip
    for change in commit.changes:
        args += [change.what, change.user, change.value]
    call(pipe, COMMIT, keys, args)


@dataclass(frozen=True, slots=True)
class Reading:
    """A durable read mark to raise."""

    room: RoomId
    reader: UserId
    epoch: int
    seq: int


def queue_mark(pipe: Pipeline, run_id: str, reading: Reading, small: int) -> None:
    """Queue MARK_READ; its answer goes to `read_commit`. Rooms of up to `small` members are told as a whole."""
    room = reading.room
    keys = [redis_keys.head(room), redis_keys.members(room), redis_keys.interest(room)]
    call(pipe, MARK_READ, keys, [run_id, reading.epoch, reading.reader, reading.seq, small])


def read_commit(answer: Sequence[str]) -> tuple[str, ...] | Literal["lost", "gap"]:
    """The gateways with interest in the room, or why it is not visible."""
    if answer[0] == "ok":
        return tuple(answer[1::2])
    return answer[0]  # type: ignore[return-value]

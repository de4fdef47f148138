"""The numbers of a room: NUMBER, COMMIT and SEED, as typed calls and answers around the Lua scripts.

NUMBER assigns `offset` and `seq` *pending*; the event is published under them; COMMIT makes them visible. A command
that comes again finds its numbers by its key. All three refuse a room whose head Redis does not have, or has from
another run: that room is lost, and rebuild.py brings it back under a higher epoch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from redis.asyncio.client import Pipeline

from chat_functions.redis_link import Script, call
from pulsar_data import redis_keys
from pulsar_data.model import RoomId, UserId
from pulsar_data.rooms import Membership

NUMBER = Script("number")
COMMIT = Script("commit")
SEED = Script("seed")
OPEN_ROOM = Script("open_room")
LIVE_GATEWAYS = Script("live_gateways")
LEASE = Script("lease")
FILL = Script("fill")
RAISE_TOKEN = Script("raise_token")
SCRIPTS = (NUMBER, COMMIT, SEED, OPEN_ROOM, LIVE_GATEWAYS, LEASE, FILL, RAISE_TOKEN)

Operation = Literal["send", "add", "create"]


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
    old_key: bool
    target: UserId | None = None


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


@dataclass(frozen=True, slots=True)
class Refused:
    """The rules say no; `code` is an ErrorCode."""

    code: int


@dataclass(frozen=True, slots=True)
class AlreadyMember:
    """member.add of somebody who is one, by the event of that number and time."""

    offset: int
    time: int


@dataclass(frozen=True, slots=True)
class LookUp:
    """Redis cannot know whether this key is new: Cassandra can, in this epoch."""

    epoch: int


Outcome = Numbers | Refused | AlreadyMember | LookUp | Literal["lost", "no_room", "conflict", "exists"]


def queue_number(pipe: Pipeline, run_id: str, request: Request, now: int, key_ttl: int, member_limit: int) -> None:
    """Queue NUMBER; its answer goes to `read_number`."""
    room = request.room
    keys = [redis_keys.head(room), redis_keys.members(room), redis_keys.idempotency(room, request.actor, request.key)]
    call(
        pipe, NUMBER, keys,
        [run_id, now, request.operation, request.actor, request.digest, request.origin,
         "" if request.looked_up is None else request.looked_up,
         key_ttl, member_limit, request.target or "", int(request.old_key)],
    )  # fmt: skip


def read_number(answer: Sequence[str]) -> Outcome:
    """The typed answer."""
    outcome = answer[0]
    if outcome in ("new", "pending", "done"):
        epoch, offset, seq, time, visible, duplicate = map(int, answer[1:7])
        return Numbers(epoch, offset, seq, time, visible, outcome == "done", bool(duplicate))
    if outcome == "refused":
        return Refused(int(answer[1]))
    if outcome == "member":
        return AlreadyMember(int(answer[1]), int(answer[2]))
    if outcome == "look_up":
        return LookUp(int(answer[1]))
    return outcome  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Commit:
    """One durable event to make visible. `facts` creates the room; `entering` are its new members."""

    room: RoomId
    actor: UserId
    key: str
    epoch: int
    offset: int
    seq: int
    event: bytes
    is_message: bool
    facts: dict[str, str] | None = None
    entering: tuple[tuple[UserId, Membership], ...] = ()


def queue_commit(pipe: Pipeline, run_id: str, commit: Commit, recent: int) -> None:
    """Queue COMMIT; its answer goes to `read_commit`."""
    room = commit.room
    keys = [
        redis_keys.head(room), redis_keys.members(room), redis_keys.recent(room),
        redis_keys.idempotency(room, commit.actor, commit.key), redis_keys.interest(room),
    ]  # fmt: skip
    args: list[str | int | bytes] = [
        run_id, commit.epoch, commit.offset, commit.seq, commit.event, recent,
        commit.seq if commit.is_message else "", commit.actor,
    ]  # fmt: skip
    if commit.facts is not None:
        args += ["", json.dumps(commit.facts)]
    for user, membership in commit.entering:
        args += [user, membership.to_json()]
    call(pipe, COMMIT, keys, args)


def read_commit(answer: Sequence[str]) -> tuple[str, ...] | Literal["lost", "gap"]:
    """The gateways with interest in the room, or why it is not visible."""
    if answer[0] == "ok":
        return tuple(answer[1::2])
    return answer[0]  # type: ignore[return-value]

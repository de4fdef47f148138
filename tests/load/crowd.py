"""People and rooms to measure with.

People are rows in Cassandra and tokens signed with the stack's own key: signing up thousands with argon2 would measure
argon2. Rooms are made by commands, as any room is.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import jwt
import pulsar
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chattifier.schema import session
from pulsar_data import ids, topics
from pulsar_data.commands import CreateRoom
from pulsar_data.model import RoomId, UserId
from pulsar_data.tokens import AccessClaims
from tests.load.errors import LoadFailed
from tests.load.stack import Stack

T = TypeVar("T")
HOUR = 3600
WAIT = 120.0
"""Seconds for all rooms to be there."""


@dataclass(frozen=True)
class Person:
    """A user with a session that lasts for hours."""

    user: UserId
    session: str
    token: str


@dataclass(frozen=True)
class Room:
    """A room and its members; the first one made it."""

    id: RoomId
    members: tuple[Person, ...]


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def people(stack: Stack, count: int) -> list[Person]:
    """That many users, each with a session and its access token (an hour)."""
    sign = _Signer(stack)
    crowd = [sign.person() for _ in range(count)]
    with session(stack.cassandra) as execute:
        for some in chunks(crowd, 50):
            execute(_rows(stack.cassandra.keyspace, some))
    return crowd


def rooms(stack: Stack, crowd: Sequence[Person], size: int) -> list[Room]:
    """The crowd in rooms of that size. Returns when all rooms are stored."""
    made = [(_create(some), some) for some in chunks(crowd, size)]
    with client(stack) as pulsar_client:
        producer = pulsar_client.create_producer(topics.COMMANDS, batching_type=pulsar.BatchingType.KeyBased)
        for command, _ in made:
            producer.send_async(command.to_json(), lambda result, _id: None, partition_key=command.room)
        producer.flush()
    ready = [Room(command.room, tuple(some)) for command, some in made]
    _await_stored(stack, [room.id for room in ready])
    return ready


def heads(stack: Stack, room_ids: Sequence[RoomId]) -> Iterator[int]:
    """The sum of the stored offsets of these rooms, again and again."""
    listed = ",".join(room_ids)
    query = f"SELECT offset FROM {stack.cassandra.keyspace}.room_heads WHERE room_id IN ({listed})"
    with session(stack.cassandra) as execute:
        while True:
            yield sum(row.offset for row in execute(query))


@contextmanager
def client(stack: Stack) -> Iterator[pulsar.Client]:
    """A Pulsar client that says nothing but warnings."""
    made = pulsar.Client(stack.report.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Warn))
    try:
        yield made
    finally:
        made.close()


class _Signer:
    def __init__(self, stack: Stack) -> None:
        path = max(stack.layout.signing_keys.glob("*.pem"))
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        assert isinstance(key, Ed25519PrivateKey), f"{path} is no Ed25519 key"
        self._key, self._kid = key, path.stem

    def person(self) -> Person:
        user, session_id, seconds = UserId(str(uuid.uuid4())), str(uuid.uuid4()), int(time.time())
        claims = AccessClaims(
            iss="chattifier", aud="chattifier", sub=user, sid=session_id, ver=1, iat=seconds, exp=seconds + HOUR
        )
        token = jwt.encode(claims.to_dict(), self._key, algorithm="EdDSA", headers={"kid": self._kid})
        return Person(user, session_id, token)


def _rows(keyspace: str, some: Iterable[Person]) -> str:
    later = now() + 24 * HOUR * 1000
    inserts = [
        line
        for person in some
        for line in (
            f"INSERT INTO {keyspace}.users_by_id (user_id, username, token_version, state)"
            f" VALUES ({person.user}, 'load-{person.user}', 1, 'active');",
            f"INSERT INTO {keyspace}.sessions_by_user (user_id, session_id, token_version, expires_at)"
            f" VALUES ({person.user}, {person.session}, 1, {later});",
        )
    ]
    return "BEGIN UNLOGGED BATCH\n" + "\n".join(inserts) + "\nAPPLY BATCH"


def _create(some: Sequence[Person]) -> CreateRoom:
    creator, key = some[0].user, ids.new_key(now())
    members = tuple(person.user for person in some[1:])
    return CreateRoom(
        room=ids.created_room(creator, key), actor=creator, key=key, kind="group", name="Load", members=members
    )


def _await_stored(stack: Stack, room_ids: Sequence[RoomId]) -> None:
    deadline = time.monotonic() + WAIT
    for some in chunks(room_ids, 50):
        for total in heads(stack, some):
            if total >= len(some):
                break
            if time.monotonic() > deadline:
                raise LoadFailed(f"{len(some) - total} of {len(some)} new rooms are not stored after {WAIT:.0f} s.")
            time.sleep(0.1)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Slices of that size; the last may be shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]

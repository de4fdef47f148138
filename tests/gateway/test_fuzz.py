"""Frames made from the protocol's own schema, and near misses: none kills a socket that should live, or the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulsar_data import rpc
from pulsar_data.ids import new_key
from socket_gateway import protocol
from socket_gateway.settings import Limits

from .client import Json, session
from .people import Person, make_room
from .running import running
from .test_frames import TEXT, Raw, frame, raw

pytestmark = pytest.mark.stack
People = tuple[Person, Person, Person]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
near = st.sampled_from(["", "room:", "room:x", "user:x", "lobby"]) | json_values


def fields(room: str) -> dict[str, st.SearchStrategy[Any]]:
    """What a client may send, field by field: mostly right, sometimes anything."""
    ids = st.sampled_from([room, room.upper(), "00000000-0000-4000-8000-000000000000"]) | json_values
    numbers = st.integers(-2, 2**33) | json_values
    data = st.fixed_dictionaries(
        {},
        optional={
            "room": ids, "user": ids, "text": st.text(max_size=20) | json_values, "seq": numbers, "limit": numbers,
            "after": numbers, "key": st.just(new_key(1)) | json_values, "members": st.lists(ids, max_size=2),
            "username": st.text(max_size=5), "query": st.text(max_size=5), "type": st.just("typing"),
        },
    )  # fmt: skip
    return {
        "channel": st.sampled_from([f"room:{room}", f"room:{room.upper()}"]) | near,
        "data": data | json_values,
        "method": st.sampled_from([*rpc.METHODS, "typing", "no.such", ""]) | json_values,
        "limit": numbers,
        "since": st.fixed_dictionaries({}, optional={"offset": numbers, "epoch": st.text(max_size=3)}) | json_values,
        "reverse": st.booleans() | json_values,
        "recover": st.booleans() | json_values,
        "offset": numbers,
        "epoch": st.text(max_size=3) | json_values,
    }


def commands(room: str) -> st.SearchStrategy[list[Json]]:
    """Commands of an open connection that must leave it open. `refresh` and `connect` may end it, by design."""
    some = fields(room)
    names = sorted(set(protocol.REQUESTS) - {"connect", "refresh"})
    request = st.fixed_dictionaries({}, optional=some)
    command = st.builds(lambda name, body: {name: body}, st.sampled_from([*names, "dance"]), request | json_values)
    extra = st.builds(
        lambda one, more: {**more, **one}, command, st.dictionaries(st.text(max_size=3), json_values, max_size=2)
    )
    return st.lists(command | extra, min_size=1, max_size=8)


class Talker:
    """One connection for many examples: the same socket must answer all of them."""

    def __init__(self, stack: Any, jwks: Path, people: People) -> None:
        self._runner = asyncio.Runner()
        self._stack, self._jwks, self._people = stack, jwks, people
        self._number = 1
        self.room = ""
        self.connection: Raw

    def __enter__(self) -> Talker:
        self._runner.__enter__()
        self._runner.run(self._open())
        return self

    async def _open(self) -> None:
        limits = Limits(drain=0.1, inflight=1000, commands_burst=10_000, ping=600)
        self._gateway = running(self._stack, self._jwks, limits)
        gateway = await self._gateway.__aenter__()
        async with session(gateway.url, self._people[0].token) as (wire, _):
            self.room = await make_room(wire)
        self._raw = raw(gateway.url, self._people[0].token)
        self.connection = await self._raw.__aenter__()

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._close())
        self._runner.__exit__(None, None, None)

    async def _close(self) -> None:
        await self._raw.__aexit__(None, None, None)
        await self._gateway.__aexit__(None, None, None)

    def say(self, wishes: list[Json]) -> None:
        """Every command is answered under its id, and a ping behind them, too."""
        self._runner.run(self._say(wishes))

    async def _say(self, wishes: list[Json]) -> None:
        numbered = [{**wish, "id": self._next()} for wish in [*wishes, {"ping": {}}]]
        await self.connection.send(frame(TEXT, "\n".join(map(json.dumps, numbered)).encode()))
        # A `send` that is well is the one command without an answer.
        wanted = {one["id"] for one in numbered if not _sends(one)}
        while wanted:
            opcode, payload = await self.connection.read()
            assert opcode == TEXT, (opcode, payload, numbered)
            for line in payload.split(b"\n"):
                answer = json.loads(line)
                wanted.discard(answer.get("id", 0))

    def _next(self) -> int:
        self._number += 1
        return self._number


def _sends(command: Json) -> bool:
    return next((name for name in protocol.REQUESTS if command.get(name) is not None), "") == "send"


@pytest.fixture
def talker(stack: Any, jwks: Path, people: People) -> Iterator[Talker]:
    """A gateway of its own, and a connection to it."""
    with Talker(stack, jwks, people) as talker:
        yield talker


@pytest.mark.timeout(300, func_only=True)
def test_every_command_that_parses_is_answered_and_the_socket_lives(talker: Talker) -> None:
    """Right ones, wrong ones, all methods with all sorts of data, several in one frame."""

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def examples(data: st.DataObject) -> None:
        talker.say(data.draw(commands(talker.room)))

    examples()

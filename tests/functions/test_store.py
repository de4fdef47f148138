"""message-store: a head says that all up to it is stored, whatever Cassandra does in between.

The tables are a stand-in that is slow, or fails, where a test wants it. That rows and heads come to what they should be
is tested on a real Cassandra by tests/contract and tests/faults.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from chat_functions import store, writes
from chat_functions.batching import Inbox
from chat_functions.redis_link import RedisLink
from chat_functions.rows import WRITE_HEAD, WRITE_LOG
from chat_functions.settings import Settings
from chat_functions.store import READ_EPOCH, MessageStore
from chat_functions.tables import TablesUnavailable
from chat_functions.traces import Traces
from pulsar_data import ids
from pulsar_data.config import Live
from pulsar_data.events import MessageSent
from pulsar_data.model import RoomId
from tests.clients.waiting import until
from tests.functions.room import new_user, now

pytestmark = pytest.mark.anyio
ROOM, OTHER = (RoomId(str(uuid.uuid4())) for _ in range(2))


@dataclass
class Statement:
    """A bound one."""

    cql: str
    values: list[Any]

    @property
    def of(self) -> tuple[str, int]:
        """Which row of the log or which head it is: the room and the offset. Both are written under their offset."""
        offset = self.values[-1] if self.cql == WRITE_HEAD else self.values[2]
        return str(uuid.UUID(bytes=self.values[0])), int.from_bytes(offset, "big")


class Tables:
    """Notes what is written, in the order in which it is done."""

    def __init__(self, _settings: Settings) -> None:
        self.log: list[tuple[str, int]] = []
        self.heads: list[tuple[str, int]] = []
        self.held: Callable[[tuple[str, int]], asyncio.Event | None] = lambda _: None
        self.fails: Callable[[tuple[str, int]], bool] = lambda _: False

    async def connect(self, _statements: Sequence[str]) -> None:
        """It is there."""

    def bind(self, cql: str, values: Sequence[Any]) -> Statement:
        """Of any table."""
        return Statement(cql, list(values))

    encoded = bind

    async def execute(self, packs: Sequence[Statement | list[Statement]]) -> list[Any]:
        """All at once, each as long as it takes."""
        return list(await asyncio.gather(*(self._run(pack if isinstance(pack, list) else [pack]) for pack in packs)))

    async def _run(self, pack: list[Statement]) -> Any:
        rows = [statement.of for statement in pack if statement.cql == WRITE_LOG]
        for row in rows:
            if (until := self.held(row)) is not None:
                await until.wait()
        if any(map(self.fails, rows)):
            return TablesUnavailable("for a test")
        self.log += rows
        for room, offset in [statement.of for statement in pack if statement.cql == WRITE_HEAD]:
            stored = {row for row_room, row in self.log if row_room == room}
            assert stored >= set(range(1, offset + 1)), f"the head says {offset}, and there is only {sorted(stored)}"
            self.heads.append((room, offset))
        return []


class Message:
    """An event as Pulsar brings it."""

    def __init__(self, room: RoomId, offset: int) -> None:
        self._event = MessageSent(
            room=room, epoch=1, offset=offset, time=now(), actor=new_user(), key=ids.new_key(now()), digest="d",
            seq=offset, text="hello",
        )  # fmt: skip
        self.place = (str(room), offset)

    def data(self) -> bytes:
        """Its JSON."""
        return self._event.to_json()

    def message_id(self) -> tuple[str, int]:
        """What it is acked by."""
        return self.place

    def topic_name(self) -> str:
        """Of the log."""
        return "events"

    def publish_timestamp(self) -> int:
        """ms."""
        return now()


@dataclass
class Context:
    """Of Pulsar's instance."""

    message: Message
    acked: list[tuple[str, int]]

    def ack(self, place: tuple[str, int], _topic: str) -> None:
        """It is stored."""
        self.acked.append(place)


@dataclass
class Running:
    """A message-store, its tables, and what it has acked."""

    store: MessageStore
    tables: Tables
    inbox: Inbox
    acked: list[tuple[str, int]] = field(default_factory=list)

    async def take(self, *messages: Message) -> None:
        """One batch: returns when the next may come."""
        for message in messages:
            self.inbox.submit(Context(message, self.acked))  # type: ignore[arg-type]
        await self.store.handle(await self.inbox.take())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for that, and look for rooms that come back meanwhile."""
        async with asyncio.timeout(30):
            while not condition():
                await self.store.handle([])
                await asyncio.sleep(0.01)

    async def until_acked(self, *places: tuple[str, int]) -> None:
        """Wait until they are, all of them."""
        await self.until(lambda: set(places) <= set(self.acked))


@pytest.fixture
async def running(redis_url: str, redis: RedisLink, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """Nothing is waited for between two batches."""
    assert redis  # it is up
    monkeypatch.setattr(store, "Tables", Tables)
    monkeypatch.setattr(store, "RETRY", 0.05)
    monkeypatch.setattr(writes, "batch", list)
    inbox = Inbox(batch=1000, in_flight=1000, traces=Traces())
    live = Live(Settings(redis_url=redis_url, store_interval=0))
    async with asyncio.TaskGroup() as tasks:
        handler = MessageStore(None, inbox, tasks, live)  # type: ignore[arg-type]
        await handler.start()
        yield Running(handler, handler._tables, inbox)  # type: ignore[arg-type]
        for task in handler._under_way:  # of a test that has failed: nobody lets go on what it holds
            task.cancel()


async def test_a_head_is_written_behind_all_that_it_speaks_for(running: Running) -> None:
    """Of its own batch, and of the one before, however long that takes. Other rooms' heads wait with it."""
    slow = asyncio.Event()
    running.tables.held = lambda row: slow if row == (ROOM, 1) else None
    await running.take(Message(ROOM, 1))
    await running.take(Message(ROOM, 2), Message(OTHER, 1))

    async def others_are() -> bool:
        return set(running.tables.log) == {(ROOM, 2), (OTHER, 1)}

    await until("what is behind it is written", others_are, 30, every=0.01)
    assert running.tables.heads == running.acked == []
    slow.set()
    await running.until_acked((ROOM, 1), (ROOM, 2), (OTHER, 1))
    assert running.tables.heads == [(ROOM, 1), (ROOM, 2), (OTHER, 1)]


async def test_what_is_behind_a_write_that_failed_is_stored_with_it(running: Running) -> None:
    """Also where it was under way already; other rooms go on."""
    slow, broken = asyncio.Event(), True
    running.tables.held = lambda row: slow if row == (ROOM, 1) else None
    running.tables.fails = lambda row: broken and row == (ROOM, 1)
    await running.take(Message(ROOM, 1))
    await running.take(Message(ROOM, 2), Message(OTHER, 1))
    slow.set()
    await running.until_acked((OTHER, 1))
    await running.take(Message(ROOM, 3))
    assert running.acked == [(OTHER, 1)]
    assert running.tables.heads == [(OTHER, 1)]
    broken = False
    await running.until_acked((ROOM, 1), (ROOM, 2), (ROOM, 3))
    assert running.tables.heads[-1] == (ROOM, 3)


async def test_what_has_failed_once_is_stored_at_its_next_try(running: Running) -> None:
    """Though a batch was under way both times: that of another room, which had nothing to do with it."""
    failing, slow, broken = asyncio.Event(), asyncio.Event(), True
    running.tables.held = lambda row: failing if row == (ROOM, 1) else slow if row == (OTHER, 1) else None
    running.tables.fails = lambda row: broken and row == (ROOM, 1)
    await running.take(Message(ROOM, 1))
    await running.take(Message(OTHER, 1))
    failing.set()
    await running.store.handle([])  # returns when it has failed
    broken = False
    await running.until(lambda: (ROOM, 1) in running.tables.log)
    slow.set()
    await running.until_acked((ROOM, 1), (OTHER, 1))
    assert running.tables.log.count((ROOM, 1)) == 1


async def test_a_room_whose_epoch_cannot_be_read_waits_with_what_is_behind_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next batch may know the epoch meanwhile: it does not speak for what was never written."""
    asked, real = asyncio.Event(), running.tables.execute
    first = True

    async def execute(packs: Sequence[Any]) -> list[Any]:
        nonlocal first
        if first and packs and isinstance(packs[0], Statement) and packs[0].cql == READ_EPOCH:
            first = False
            await asked.wait()
            return [TablesUnavailable("for a test")]
        return await real(packs)

    monkeypatch.setattr(running.tables, "execute", execute)
    await running.take(Message(ROOM, 1))
    await running.take(Message(ROOM, 2))
    await asyncio.sleep(0.05)
    assert running.tables.heads == []
    asked.set()
    await running.until_acked((ROOM, 1), (ROOM, 2))
    assert running.tables.heads[-1] == (ROOM, 2)

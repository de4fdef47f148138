"""message-store: writes the room log to Cassandra, in batches, and acks when Cassandra has them.

Every write carries TIMESTAMP <offset>, so writes of one room commute: a repeat or a late zombie never wins. Order is
needed by heads, which are written behind all that they speak for, and by a RoomRebuild marker: everything before it is
stored first, then the head it leaves is exact, and from then on events of a lower epoch are void.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pulsar
from redis.asyncio.client import Pipeline

from chat_functions import dead_letters, logs, rows
from chat_functions.batching import CrashPoints, Inbox, Incoming, Parking, retrying
from chat_functions.changes import entering
from chat_functions.dead_letters import DeadLetters
from chat_functions.producers import TopicProducer
from chat_functions.redis_link import RedisLink, RedisUnavailable
from chat_functions.settings import Settings
from chat_functions.tables import Tables, TablesUnavailable
from chat_functions.writes import Happened, Writes
from pulsar_data import redis_keys
from pulsar_data.config import Live
from pulsar_data.events import LOG_ENTRY, LogEntry, MessageRead, RoomEvent, RoomRebuild
from pulsar_data.model import RoomId, UserId

READ_EPOCH = "SELECT epoch, offset, seq FROM room_heads WHERE room_id = ?"
MARK_ABSENT = "INSERT INTO room_heads (room_id, offset, seq, epoch) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL 600"
BEFORE_ALL = 1 << 62
"""What an absence is written that long before: any real head is later (from 1 on: its offset), and so is each further
absence, which would be lost behind the end of the one before if it were not."""
EPOCH_CACHE = 1.0
"""Seconds that a room's epoch is believed. Only a zombie router sends events of an older one, seconds late."""
AT_ONCE = 2
"""Batches under way: the next one is built while Cassandra writes the one before."""
RETRY = 0.2
"""Seconds before a room whose writes failed is tried again."""


@dataclass(slots=True, eq=False)
class Work:
    """One entry of the log until it is stored."""

    incoming: Incoming
    entry: LogEntry

    @property
    def room(self) -> RoomId:
        """The key of everything."""
        return self.entry.room


class MessageStore:
    """The handler of message-store."""

    THROWS_OUT: ClassVar[bool] = False

    def __init__(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, live: Live[Settings]) -> None:
        settings, self._live = live.now, live
        self._inbox = inbox
        self._tasks = tasks
        self._tables = Tables(settings)
        self._redis = RedisLink(settings.redis_url, ())
        self._writes = Writes(self._tables, live)
        self._parking: Parking[Work] = Parking(tasks, inbox.wake)
        self._epochs: dict[RoomId, tuple[int, float]] = {}
        self._graves = DeadLetters(TopicProducer(client, dead_letters.topic("message-store")), inbox)
        self._crash = CrashPoints(settings.crash_at)
        self._full = settings.batch
        self._under_way: dict[asyncio.Task[None], asyncio.Future[set[RoomId]]] = {}
        """Batches, and which rooms of each must be stored again, as soon as that is known."""

    async def start(self) -> None:
        """Connect to Cassandra and Redis."""
        await asyncio.gather(self._tables.connect([READ_EPOCH, MARK_ABSENT, *rows.STATEMENTS]), self._redis.prepare())

    async def handle(self, batch: list[Incoming]) -> None:
        """Store a batch while the one before is still being written; a marker waits until nothing is under way.

        Rooms that cannot be stored now are parked and tried again.
        """
        works = [work for incoming in batch if (work := self._parse(incoming)) is not None]
        while True:
            works = self._parking.ready() + works
            alone = any(isinstance(work.entry, RoomRebuild) for work in works)
            if len(self._under_way) < (1 if alone else AT_ONCE):
                break
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        if works:
            self._begin(works)
        if alone:
            await asyncio.wait(self._under_way)
        if len(batch) < self._full:
            await asyncio.sleep(self._live.now.store_interval / 1000)

    async def bury(self, incoming: Incoming, reason: str) -> None:
        """See Handler."""
        await self._graves.bury(incoming, reason)

    def _begin(self, works: Sequence[Work]) -> None:
        """Only now is it known which rooms wait: what was under way may have failed."""
        outcome: asyncio.Future[set[RoomId]] = asyncio.get_running_loop().create_future()
        task = self._tasks.create_task(self._store(self._sort(works), list(self._under_way.values()), outcome))
        self._under_way[task] = outcome
        task.add_done_callback(self._under_way.pop)

    async def _store(
        self,
        by_room: dict[RoomId, list[Work]],
        before: Sequence[asyncio.Future[set[RoomId]]],
        outcome: asyncio.Future[set[RoomId]],
    ) -> None:
        """`before`: the outcomes of what was under way when this began.

        A head says that all up to it is stored, and readers believe it: so it is written last, and not in a room where
        something before it is missing.
        """
        unread = await self._learn_epochs(list(by_room))
        for room in unread:
            self._parking.put_back(room, by_room.pop(room), asyncio.sleep(RETRY))
        happened = {room: self._until_marker(works) for room, works in by_room.items()}
        self._crash.pass_by("read")
        failed = await self._writes.rows(happened)
        for earlier in before:
            failed |= await earlier & happened.keys()
        failed |= await self._writes.heads({room: new for room, new in happened.items() if room not in failed})
        outcome.set_result(failed.union(unread))
        self._crash.pass_by("written")
        await self._tell_inboxes([event for room in happened if room not in failed for event in happened[room].events])
        self._crash.pass_by("told")
        for room, works in by_room.items():
            await self._settle(room, works, stored=room not in failed)

    def _sort(self, works: Sequence[Work]) -> dict[RoomId, list[Work]]:
        by_room: dict[RoomId, list[Work]] = {}
        for work in works:
            if not self._parking.holds(work.room, work):
                by_room.setdefault(work.room, []).append(work)
        return by_room

    def _parse(self, incoming: Incoming) -> Work | None:
        try:
            work = Work(incoming, LOG_ENTRY.validate_json(incoming.payload))
            incoming.span.set("chattifier.event", work.entry.type)
            return work
        except ValueError as error:
            self._tasks.create_task(self._graves.bury(incoming, dead_letters.invalid(error)))
            return None

    # Epochs: what is void

    async def _learn_epochs(self, room_ids: Sequence[RoomId]) -> list[RoomId]:
        """Read the epochs of rooms not seen lately. Returns the rooms whose epoch could not be read."""
        now = time.monotonic()
        if len(self._epochs) > 50_000 and len(self._under_way) == 1:  # nobody else's batch relies on them
            self._epochs = {room: known for room, known in self._epochs.items() if now - known[1] < EPOCH_CACHE}
        asked = [room for room in room_ids if now - self._epochs.get(room, (0, -EPOCH_CACHE))[1] >= EPOCH_CACHE]
        answers = await self._tables.execute([self._tables.bind(READ_EPOCH, [uuid.UUID(room)]) for room in asked])
        unread = []
        for room, answer in zip(asked, answers, strict=True):
            if isinstance(answer, TablesUnavailable):
                logs.warning("epoch_unread", room=room, error=str(answer))
                unread.append(room)
            else:
                self._epochs[room] = (answer[0][0] or 0 if answer else 0, now)
        return unread

    def _counts(self, event: RoomEvent | MessageRead) -> bool:
        """Whether the event is of the room's present epoch. One of an earlier epoch, behind the marker, is void."""
        known = self._epochs[event.room][0]
        if event.epoch < known:
            logs.warning("void_event", room=event.room, type=event.type, epoch=event.epoch, present=known)
        return event.epoch >= known

    # Markers

    def _until_marker(self, works: Sequence[Work]) -> Happened:
        """What is to be stored before the first marker."""
        happened = Happened()
        for work in works:
            match work.entry:
                case RoomRebuild():
                    break
                case MessageRead() as mark if self._counts(mark):
                    happened.marks.append(mark)
                case MessageRead():
                    pass
                case event if self._counts(event):
                    happened.events.append(event)
        return happened

    async def _settle(self, room: RoomId, works: list[Work], *, stored: bool) -> None:
        """Ack what is stored; a marker is next, and what is behind it waits for it."""
        if not stored:
            self._parking.put_back(room, works, asyncio.sleep(RETRY))
            return
        for index, work in enumerate(works):
            if isinstance(work.entry, RoomRebuild):
                self._parking.park(room, works[index + 1 :], self._pass_marker(work, work.entry))
                return
            self._inbox.finish(work.incoming)

    async def _pass_marker(self, work: Work, marker: RoomRebuild) -> None:
        """Everything before is stored: write the exact head under the new epoch."""
        await retrying(lambda: self._mark(marker), (TablesUnavailable,))
        self._crash.pass_by("headed")
        self._inbox.finish(work.incoming)

    async def _mark(self, marker: RoomRebuild) -> None:
        room = uuid.UUID(marker.room)
        known = await self._tables.read(READ_EPOCH, [room])
        if known and known[0][0] is not None and known[0][0] >= marker.epoch:
            self._epochs[marker.room] = (known[0][0], time.monotonic())
            return  # a repeat
        if known and known[0][1]:
            offset, seq = known[0][1], known[0][2]
            values = [room, offset, seq or 0, marker.epoch, offset]
            await self._write([self._tables.bind(rows.WRITE_HEAD, values)])
        else:
            values = [room, 0, 0, marker.epoch, marker.epoch - BEFORE_ALL]
            await self._write([self._tables.bind(MARK_ABSENT, values)])
        self._epochs[marker.room] = (marker.epoch, time.monotonic())

    async def _write(self, statements: Sequence[object]) -> None:
        for answer in await self._tables.execute(statements):  # type: ignore[arg-type]
            if isinstance(answer, TablesUnavailable):
                raise answer

    # Inboxes: see archive's seeding of user:<U>:rooms

    async def _tell_inboxes(self, events: Sequence[RoomEvent]) -> None:
        """A membership is in Cassandra now: put it into an inbox that archive may be seeding from an older read."""
        entered = [(user, event.room) for event in events for user, _ in entering(event)]
        if entered:
            await retrying(
                lambda: self._redis.execute(lambda pipe, _: _add_to_inboxes(pipe, entered)), (RedisUnavailable,)
            )


def _add_to_inboxes(pipe: Pipeline, entered: Sequence[tuple[UserId, RoomId]]) -> None:
    for user, room in entered:
        pipe.hset(redis_keys.user_rooms(user), room, "1")

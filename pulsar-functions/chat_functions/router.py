"""chat-router: checks, numbers, publishes, commits and delivers every room command, in that order.

    parse -> look up (rarely) -> NUMBER -> publish to events -> COMMIT -> deliver and reply -> ack

A crash anywhere repeats the command: it finds its numbers by its key, its event goes out again under them, and whoever
has it drops it. Nothing is acked to a client before its event is durable and visible.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import pulsar
from redis.asyncio.client import Pipeline

from chat_functions import dead_letters, entrance, logs, look_ups, metrics, rebuild, rulebook, shared_clock
from chat_functions import work as stages
from chat_functions.batching import CrashPoints, Inbox, Incoming, Parking, fewer, retrying
from chat_functions.courier import Courier, Visible
from chat_functions.dead_letters import DeadLetters
from chat_functions.event_schema import EventSchema
from chat_functions.look_ups import LookUps
from chat_functions.numbering import (
    LET_PASS,
    LIVE_GATEWAYS,
    SCRIPTS,
    FindMessage,
    LookUp,
    Mark,
    Numbers,
    Outcome,
    Refused,
    Unchanged,
    queue_commit,
    queue_mark,
    queue_may_read,
    queue_number,
    read_commit,
    read_number,
)
from chat_functions.outbox import Outbox, prepare_deliveries
from chat_functions.producers import Outgoing, TopicProducer
from chat_functions.rebuild import Rebuild
from chat_functions.redis_link import RedisLink, RedisUnavailable, call
from chat_functions.redis_memory import RedisMemory
from chat_functions.settings import Settings
from chat_functions.tables import Tables
from chat_functions.work import Work
from pulsar_data import redis_keys, topics
from pulsar_data.clock import Clock
from pulsar_data.commands import COMMAND, MarkRead, RebuildRoom
from pulsar_data.config import Live
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.model import RoomId, UserId

STUCK = 10.0
"""Seconds a room may wait for a number that is missing before it is rebuilt."""
_NUMBER, _PUBLISH, _COMMIT, _DELIVER = map(metrics.STAGE.labels, ("number", "publish", "commit", "deliver"))
MINUTE = 60_000
"""ms in which so many unknown rooms may be asked for."""
ROUNDS = 8
"""So often in one batch a room may go on behind a command that changed nothing; others wait meanwhile."""
AGAIN = 0.2
"""Seconds before a room is tried again whose events the broker or whose commits Redis did not take."""


class ChatRouter:
    """The handler of chat-router."""

    THROWS_OUT: ClassVar[bool] = True

    def __init__(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, live: Live[Settings]) -> None:
        settings, self._live = live.now, live
        self._inbox = inbox
        self._tasks = tasks
        self._redis = RedisLink(settings.redis_url, SCRIPTS)
        self._memory = RedisMemory(self._redis)
        self._clock = Clock()
        self._tables = Tables(settings)
        self._events = TopicProducer(client, topics.EVENTS, schema=EventSchema())
        self._parking: Parking[Work] = Parking(tasks, inbox.wake)
        self._look_ups = LookUps(self._tables, live)
        self._graves = DeadLetters(TopicProducer(client, dead_letters.topic("chat-router")), inbox)
        self._crash = CrashPoints(settings.crash_at)
        self._rebuild = Rebuild(self._tables, self._redis, self._events, self._clock, self._crash)
        self._outbox = Outbox(client, tasks)
        self._courier = Courier(self._redis, self._outbox, inbox, tasks, self._crash)

    async def start(self) -> None:
        """Cassandra connects meanwhile: only rare commands need it."""
        self._tasks.create_task(self._tables.connect([*rebuild.STATEMENTS, *look_ups.STATEMENTS]))
        await asyncio.gather(
            self._events.prepare(),
            shared_clock.ask(self._redis, self._clock),
            prepare_deliveries(self._redis, self._outbox, self._live.now),
        )
        self._tasks.create_task(shared_clock.follow(self._redis, self._clock))
        self._tasks.create_task(self._memory.follow())
        self._tasks.create_task(self._give_up())

    async def _give_up(self) -> None:
        """Refuse what has waited too long and has no number: nobody waits for it, and whoever meant it sends it again.

        Else rooms that wait for Cassandra would fill this instance until none is served.
        """
        while True:
            await asyncio.sleep(1.0)
            late = self._parking.take_out(stages.is_late)
            if late:
                logs.warning("given_up", commands=len(late), seconds=stages.LATE)
            for work in late:
                await self._courier.refuse(work, ErrorCode.INTERNAL)

    async def handle(self, batch: list[Incoming]) -> None:
        """Work a batch through all stages. Rooms that must wait are parked with all that is behind them."""
        by_room = await self._sort(batch)
        numbered = await self._number(by_room)
        self._crash.pass_by("numbered")
        durable = await self._publish(numbered)
        self._crash.pass_by("published")
        visible = await self._commit(durable)
        self._crash.pass_by("committed")
        if visible:
            with metrics.timed(_DELIVER):
                await self._courier.deliver(visible)

    async def bury(self, incoming: Incoming, reason: str) -> None:
        """See Handler."""
        await self._graves.bury(incoming, reason)

    # Sort: parse, check what needs no state, and line up behind rooms that wait.

    async def _sort(self, batch: Sequence[Incoming]) -> dict[RoomId, list[Work]]:
        parsed = [work for incoming in batch if (work := await self._parse(incoming)) is not None]
        by_room: dict[RoomId, list[Work]] = {}
        for work in self._parking.ready() + parsed:  # nothing is awaited from here on: no room is unparked meanwhile
            if not self._parking.holds(work.room, work):
                by_room.setdefault(work.room, []).append(work)
        return by_room

    async def _parse(self, incoming: Incoming) -> Work | None:
        try:
            work = Work(incoming, COMMAND.validate_json(incoming.payload))
            _check_keyed(work)
            incoming.span.set("chattifier.command", work.command.type)
        except ValueError as error:
            self._tasks.create_task(self._graves.bury(incoming, dead_letters.invalid(error)))
            return None
        if isinstance(work.command, (RebuildRoom, MarkRead)):
            return work
        try:
            stages.check(work.command)
        except ChatError as error:
            await self._courier.refuse(work, error.code)
            return None
        work.digest, work.verdict = stages.digest(work.command), stages.excess(work.command, self._live.now)
        return work

    # NUMBER

    async def _number(self, by_room: dict[RoomId, list[Work]]) -> list[Work]:
        """Numbered works, per room in the order of their offsets; all others are answered or parked.

        Behind a barrier that took no number nothing has changed: a room goes on with the next, up to ROUNDS times.
        """
        numbered: list[Work] = []
        known: dict[RoomId, list[tuple[Work, Outcome | str]]] = {}
        for left in range(ROUNDS, 0, -1):
            lines = [(room, *stages.until_barrier(works, self._clock.now())) for room, works in by_room.items()]
            if not lines:
                break
            asked = [work for _, works, _ in lines for work in works]
            with metrics.timed(_NUMBER):
                answers = iter([answer for part in stages.parts(asked) for answer in await self._ask_numbers(part)])
            by_room = {}
            for room, works, behind in lines:
                outcomes = [(work, _outcome(work, next(answers))) for work in works]
                if left > 1 and behind and _changes_nothing(outcomes):
                    known.setdefault(room, []).extend(outcomes)
                    by_room[room] = behind
                else:
                    numbered += await self._settle(room, known.pop(room, []) + outcomes, behind)
        return numbered

    async def _ask_numbers(self, works: Sequence[Work]) -> list[Any]:
        return await fewer(
            works,
            lambda some: self._redis.execute(lambda pipe, run_id: self._queue_numbers(pipe, run_id, some)),
            (RedisUnavailable,),
        )

    def _queue_numbers(self, pipe: Pipeline, run_id: str, works: Sequence[Work]) -> None:
        ttl, now = self._live.now.key_hours * 3_600_000, self._clock.now()
        for work in works:
            command = work.command
            if isinstance(command, RebuildRoom) or work.answered is not None:
                entrance.queue_look(pipe, run_id, work.room, UserId(""))
            elif isinstance(command, MarkRead):
                queue_may_read(pipe, run_id, command.room, command.actor, command.seq)
            else:
                queue_number(pipe, run_id, stages.request(work, now, self._live.now, full=self._memory.full), now, ttl)

    async def _settle(
        self, room: RoomId, outcomes: Sequence[tuple[Work, Outcome | str]], behind: list[Work]
    ) -> list[Work]:
        """The works of one room that may go on; the others are answered, or wait."""
        if any(outcome == "lost" for _, outcome in outcomes):
            await self._lost(room, [work for work, _ in outcomes] + behind)
            return []
        numbered: list[Work] = []
        marks: list[Work] = []
        unseen: list[Work] = []
        unfound: list[Work] = []
        for work, outcome in outcomes:
            match outcome:
                case Numbers():
                    work.numbers = outcome
                    work.incoming.span.note("numbered")
                    numbered.append(work)
                case Mark():
                    work.mark = outcome
                    marks.append(work)
                case LookUp(epoch):
                    work.looked_up = epoch
                    unseen.append(work)
                case FindMessage():
                    unfound.append(work)
                case _:
                    await self._answer(work, outcome)
        going, early = stages.without_hole(numbered)
        waiting = early + unseen + unfound + behind
        if waiting:
            old = self._old(unseen, behind)
            self._parking.park(room, waiting, self._until_ready(room, early, unseen + old, unfound, behind))
        return going + marks

    def _old(self, unseen: list[Work], behind: list[Work]) -> list[Work]:
        """What is behind a key that Cassandra is asked for, and will be asked for as well: all at once."""
        if not unseen:
            return []
        now = self._clock.now()
        old = [work for work in behind if stages.asks_first(work, now)]
        for work in old:
            work.looked_up = unseen[0].looked_up
        return old

    async def _until_ready(
        self, room: RoomId, early: list[Work], unseen: list[Work], unfound: list[Work], behind: list[Work]
    ) -> None:
        await self._look_ups.keys(unseen)
        await self._look_ups.messages(unfound)
        named = [work for work in behind if stages.must_ask(work)]
        await self._look_ups.users(named)
        await self._spare(named)
        if not early:
            return
        logs.warning("number_missing", room=room, waiting=len(early))  # until its command is redelivered
        if time.monotonic() - early[0].waiting_since > STUCK:
            await self._rebuild.rebuild(room, stuck=early[0].numbered.epoch)
        else:
            await asyncio.sleep(0.05)

    async def _answer(self, work: Work, outcome: Outcome | str) -> None:
        """Works that take no number."""
        match outcome:
            case "there":
                self._inbox.finish(work.incoming)
            case "exists":
                await self._courier.show(work)
            case "no_room":
                await self._courier.refuse(work, ErrorCode.ROOM_NOT_FOUND)
            case "conflict":
                await self._courier.refuse(work, ErrorCode.CONFLICT)
            case Unchanged(offset, at):
                await self._courier.repeat(work, offset, at)
            case "read":
                await self._courier.nod(work)
            case Refused(code):
                await self._courier.refuse(work, ErrorCode(code))
            case _:
                raise AssertionError(f"unexpected outcome {outcome!r}")

    # Lost rooms

    async def _lost(self, room: RoomId, works: list[Work]) -> None:
        """Redis does not have this room: wait for its rebuild. Asking for rooms that nobody knows is limited.

        What has a number may be in the log already, and is not refused.
        """
        stranger = stages.stranger(works)
        if stranger is not None and not await self._may_ask(stranger):
            for work in works:
                if work.numbers is None:
                    await self._courier.refuse(work, ErrorCode.TOO_MANY_REQUESTS)
            works, stranger = [work for work in works if work.numbers is not None], None
            if not works:
                return
        self._parking.park(room, works, self._bring_back(room, stranger))

    async def _bring_back(self, room: RoomId, stranger: UserId | None) -> None:
        exists = await self._rebuild.rebuild(room)
        if exists and stranger is not None:
            key = redis_keys.limit("unknown-rooms", stranger)
            await retrying(lambda: self._redis.execute(lambda pipe, _: _give_back(pipe, key)), (RedisUnavailable,))

    async def _may_ask(self, user: UserId) -> bool:
        """Counts what is let pass: who is refused and tries again is not refused for that."""
        key, limit = redis_keys.limit("unknown-rooms", user), self._live.now.unknown_rooms_a_minute
        (may,) = await retrying(
            lambda: self._redis.execute(lambda pipe, _: call(pipe, LET_PASS, [key], [limit, MINUTE])),
            (RedisUnavailable,),
        )
        return bool(may)

    async def _spare(self, works: Sequence[Work]) -> None:
        """Sets `verdict` of each work that has none: 106 if it is about somebody who was put out of rooms too often."""
        users = sorted({user for work in works if not work.verdict for user in rulebook.strangers(work.asked)})
        if not users:
            return
        counts = await retrying(lambda: entrance.departures(self._redis, users), (RedisUnavailable,))
        often, limit = dict(zip(users, counts, strict=True)), self._live.now.departures_a_day
        for work in works:
            for user in () if work.verdict else rulebook.strangers(work.asked):
                if often[user] >= (limit if user == work.asked.actor else limit // 2):
                    work.verdict = int(ErrorCode.LIMIT_EXCEEDED)

    # Publish

    async def _publish(self, works: list[Work]) -> list[Work]:
        """Works whose event is in the log, in the same order. From its first failure on a room waits and repeats."""
        if not works:
            return []
        now = self._clock.now()
        for work in works:
            work.event = stages.event(work, now)
            work.encoded = work.event.to_json()
        fresh = [(work, work.incoming.span.sending(topics.EVENTS)) for work in works if not work.is_visible]
        with metrics.timed(_PUBLISH):
            receipts = await self._events.publish(
                [Outgoing(work.room, work.encoded, sending.properties) for work, sending in fresh]
            )
        failed: dict[RoomId, list[Work]] = {}
        for (work, sending), ok in zip(fresh, receipts, strict=True):
            sending.end("" if ok else ErrorCode.INTERNAL.message)
            if not ok or work.room in failed:
                failed.setdefault(work.room, []).append(work)
        return self._put_back(works, failed)

    def _put_back(self, works: list[Work], failed: dict[RoomId, list[Work]]) -> list[Work]:
        """The works that did not fail."""
        for room, rest in failed.items():
            logs.warning("room_waits", room=room, events=len(rest))  # they are not published, or not committed
            self._parking.put_back(room, rest, asyncio.sleep(AGAIN))
        missing = {id(work) for rest in failed.values() for work in rest}
        return [work for work in works if id(work) not in missing]

    # COMMIT

    async def _commit(self, works: list[Work]) -> list[Visible]:
        """Visible works, each with the live gateways of its room."""
        if not works:
            return []
        told = [work for work in works if work.is_told]
        live: Sequence[str] = ()

        async def ask(some: Sequence[Work]) -> list[Any]:
            nonlocal live
            *answers, live = await self._redis.execute(lambda pipe, run_id: self._queue_commits(pipe, run_id, some))
            return answers

        answers: list[Sequence[str]] = []
        with metrics.timed(_COMMIT):
            for part in stages.parts(told):
                answers += await fewer(part, ask, (RedisUnavailable,))
        interested: dict[int, tuple[str, ...]] = {}
        failed: dict[RoomId, list[Work]] = {}
        for work, gateways in zip(told, map(read_commit, answers), strict=True):
            if not isinstance(gateways, str):
                work.incoming.span.note("committed")
                interested[id(work)] = tuple(gateway for gateway in gateways if gateway in live)
            elif not work.is_visible:  # else it was visible in an earlier epoch
                failed.setdefault(work.room, []).append(work)
        return [(work, interested.get(id(work), ())) for work in self._put_back(works, failed)]

    def _queue_commits(self, pipe: Pipeline, run_id: str, works: Sequence[Work]) -> None:
        for work in works:
            if work.mark is None:
                queue_commit(pipe, run_id, stages.commit(work), self._live.now.recent_events)
            else:
                queue_mark(pipe, run_id, stages.reading(work), self._live.now.small_room)
        # Last: a gateway registers before it writes interest, so whose interest a commit has seen is found here.
        call(pipe, LIVE_GATEWAYS, [redis_keys.GATEWAYS], [self._live.now.gateway_age])


def _check_keyed(work: Work) -> None:
    if work.incoming.message.partition_key() != work.room:
        raise ValueError("the message is not keyed by its room")


def _outcome(work: Work, answer: Sequence[str]) -> Outcome | str:
    if answer[0] == "lost":
        return "lost"
    if isinstance(work.command, RebuildRoom):
        return "there"
    if work.conflict:
        return "conflict"
    if work.answered is not None:
        return work.answered
    return read_number(answer)


def _changes_nothing(outcomes: Sequence[tuple[Work, Outcome | str]]) -> bool:
    """Whether what is behind the last of them may be asked for at once, and none of the others waits for anything."""
    if not outcomes or any(outcome == "lost" or isinstance(outcome, LookUp | FindMessage) for _, outcome in outcomes):
        return False
    return not isinstance(outcomes[-1][1], Numbers | Mark)


def _give_back(pipe: Pipeline, key: str) -> None:
    pipe.set(key, 0, px=MINUTE, nx=True)
    pipe.decr(key)

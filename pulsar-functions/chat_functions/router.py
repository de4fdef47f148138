"""chat-router: checks, numbers, publishes, commits and delivers every room command, in that order.

    parse -> look up (rarely) -> NUMBER -> publish to events -> COMMIT -> deliver and reply -> ack

A crash anywhere repeats the command: it finds its numbers by its key, its event goes out again under them, and whoever
has it drops it. Nothing is acked to a client before its event is durable and visible.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pulsar
from redis.asyncio.client import Pipeline

from chat_functions import dead_letters, entrance, messages, rebuild, rooms
from chat_functions.batching import CrashPoints, Inbox, Incoming, Parking, retrying
from chat_functions.dead_letters import DeadLetters
from chat_functions.numbering import (
    LIVE_GATEWAYS,
    SCRIPTS,
    AlreadyMember,
    Commit,
    LookUp,
    Numbers,
    Operation,
    Outcome,
    Refused,
    Request,
    queue_commit,
    queue_number,
    read_commit,
    read_number,
)
from chat_functions.outbox import Outbox
from chat_functions.producers import Outgoing, Receipts, TopicProducer
from chat_functions.redis_link import RedisLink, RedisUnavailable, call
from chat_functions.settings import Settings
from chat_functions.tables import Tables, TablesUnavailable
from pulsar_data import ids, redis_keys, topics
from pulsar_data.commands import COMMAND, AddMember, CreateRoom, RebuildRoom, Sender, SendMessage
from pulsar_data.deliveries import Item, Publication, Reply
from pulsar_data.errors import ChatError, ErrorCode, RpcError
from pulsar_data.events import RoomEvent
from pulsar_data.model import RoomId, UserId

log = logging.getLogger(__name__)

RoomCommand = SendMessage | CreateRoom | AddMember
READ_KEY = "SELECT seq, offset, time, digest FROM message_by_key WHERE room_id = ? AND sender = ? AND key = ?"
READ_USER = "SELECT state FROM users_by_id WHERE user_id = ?"
OLD_KEY = 23 * 3600 * 1000
"""ms: Redis may have forgotten a key of this age (it remembers for 24 h)."""
STUCK = 10.0
"""Seconds a room may wait for a number that is missing before it is rebuilt."""


@dataclass(slots=True, eq=False)
class Work:
    """One command on its way through the stages."""

    incoming: Incoming
    command: RoomCommand | RebuildRoom
    digest: str = ""
    looked_up: int | None = None
    """The epoch in which Cassandra was asked for the key. It says nothing about a later epoch."""
    answered: Numbers | None = None
    """From Cassandra: the key was used, long ago or before Redis was lost."""
    conflict: bool = False
    unknown: frozenset[UserId] | None = None
    """Named users who do not exist; None: not asked yet."""
    numbers: Numbers | None = None
    event: RoomEvent | None = None
    waiting_since: float = field(default_factory=time.monotonic)

    @property
    def room(self) -> RoomId:
        """The key of everything."""
        return self.command.room


class ChatRouter:
    """The handler of chat-router."""

    def __init__(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, settings: Settings) -> None:
        self._settings = settings
        self._inbox = inbox
        self._tasks = tasks
        self._redis = RedisLink(settings.redis_url, SCRIPTS)
        self._tables = Tables(settings)
        self._events = TopicProducer(client, topics.EVENTS)
        self._outbox = Outbox(client, tasks)
        self._parking: Parking[Work] = Parking(tasks, inbox.wake)
        self._rebuild = rebuild.Rebuild(self._tables, self._redis, self._events)
        self._graves = DeadLetters(TopicProducer(client, dead_letters.topic("chat-router")), inbox)
        self._crash = CrashPoints(settings.crash_at)

    async def start(self) -> None:
        """Cassandra connects meanwhile: only rare commands need it. Redis and Pulsar connect by use."""
        self._tasks.create_task(self._tables.connect([*rebuild.STATEMENTS, READ_KEY, READ_USER]))

    async def handle(self, batch: list[Incoming]) -> None:
        """Work a batch through all stages. Rooms that must wait are parked with all that is behind them."""
        by_room = await self._sort(batch)
        by_room = {room: works for room, works in by_room.items() if not self._needs_users(room, works)}
        durable = await self._publish(await self._number(by_room))
        self._crash.pass_by("published")
        committed = await self._commit(durable)
        self._crash.pass_by("committed")
        await self._deliver(committed)

    # Sort: parse, check what needs no state, and line up behind rooms that wait.

    async def _sort(self, batch: Sequence[Incoming]) -> dict[RoomId, list[Work]]:
        by_room: dict[RoomId, list[Work]] = {}
        works = self._parking.ready()
        works += [work for incoming in batch if (work := await self._parse(incoming)) is not None]
        for work in works:
            if not self._parking.holds(work.room, work):
                by_room.setdefault(work.room, []).append(work)
        return by_room

    async def _parse(self, incoming: Incoming) -> Work | None:
        try:
            command = COMMAND.validate_json(incoming.payload)
            _check_keyed(command, incoming)
        except ValueError as error:
            self._tasks.create_task(self._graves.bury(incoming, dead_letters.invalid(error)))
            return None
        work = Work(incoming, command)
        if isinstance(command, RebuildRoom):
            return work
        try:
            _check(command, self._settings)
        except ChatError as error:
            await self._refuse(work, error.code)
            return None
        work.digest = _digest(command)
        return work

    # Look up: what only Cassandra knows. Rare, so the room simply waits for it.

    def _needs_users(self, room: RoomId, works: list[Work]) -> bool:
        asked = [work for work in works if work.unknown is None and _named_users(work.command)]
        if asked:
            self._parking.park(room, works, self._look_up(asked, self._look_up_users))
        return bool(asked)

    async def _look_up(self, works: Sequence[Work], ask: Callable[[Work], Coroutine[Any, Any, None]]) -> None:
        for work in works:
            await retrying(partial(ask, work), (TablesUnavailable,))

    async def _look_up_users(self, work: Work) -> None:
        users = sorted(_named_users(work.command))
        answers = await self._tables.execute([self._tables.bind(READ_USER, [uuid.UUID(user)]) for user in users])
        for answer in answers:
            if isinstance(answer, TablesUnavailable):
                raise answer
        work.unknown = frozenset(user for user, rows in zip(users, answers, strict=True) if not _active(rows))

    async def _look_up_key(self, work: Work) -> None:
        command = work.command
        assert not isinstance(command, RebuildRoom)
        rows = await self._tables.read(READ_KEY, [uuid.UUID(part) for part in (work.room, command.actor, command.key)])
        if rows:
            seq, offset, at, digest = rows[0]
            work.conflict = digest != work.digest
            work.answered = Numbers(0, offset, seq, at, offset, committed=True, duplicate=True)

    # NUMBER

    async def _number(self, by_room: dict[RoomId, list[Work]]) -> list[Work]:
        """Numbered works in order of room and offset; all others are answered or parked."""
        lines = [(room, *_until_barrier(works)) for room, works in by_room.items()]
        asked = [work for _, works, _ in lines for work in works]
        if not asked:
            return []
        answers = await retrying(
            lambda: self._redis.execute(lambda pipe, run_id: self._queue_numbers(pipe, run_id, asked)),
            (RedisUnavailable,),
        )
        self._crash.pass_by("numbered")
        outcomes = iter(answers)
        numbered: list[Work] = []
        for room, works, behind in lines:
            numbered += await self._settle(room, [(work, next(outcomes)) for work in works], behind)
        return numbered

    def _queue_numbers(self, pipe: Pipeline, run_id: str, works: Sequence[Work]) -> None:
        ttl, now = self._settings.key_hours * 3_600_000, _now()
        for work in works:
            command = work.command
            if isinstance(command, RebuildRoom) or work.answered is not None or work.unknown:
                entrance.queue_look(pipe, run_id, work.room, UserId(""))
            else:
                queue_number(pipe, run_id, _request(work, command), now, ttl, self._settings.member_limit)

    async def _settle(
        self, room: RoomId, answers: Sequence[tuple[Work, Sequence[str]]], behind: list[Work]
    ) -> list[Work]:
        """The works of one room that may go on; the others are answered, or wait."""
        outcomes = [(work, self._outcome(work, answer)) for work, answer in answers]
        if any(outcome == "lost" for _, outcome in outcomes):
            await self._lost(room, [work for work, _ in outcomes] + behind)
            return []
        numbered: list[Work] = []
        unseen: list[Work] = []
        for work, outcome in outcomes:
            match outcome:
                case Numbers():
                    work.numbers = outcome
                    numbered.append(work)
                case LookUp(epoch):
                    work.looked_up = epoch
                    unseen.append(work)
                case _:
                    await self._answer(work, outcome)
        going, early = _without_hole(numbered)
        if early or unseen or behind:
            self._parking.park(room, early + unseen + behind, self._until_ready(room, early, unseen))
        return going

    async def _until_ready(self, room: RoomId, early: list[Work], unseen: list[Work]) -> None:
        await self._look_up(unseen, self._look_up_key)
        if not early:
            return
        log.warning(
            "number_missing room %s: %d commands wait for one that is still to be redelivered", room, len(early)
        )
        if time.monotonic() - early[0].waiting_since > STUCK:
            await self._rebuild.rebuild(room)
        else:
            await asyncio.sleep(0.05)

    def _outcome(self, work: Work, answer: Sequence[str]) -> Outcome | str:
        if answer[0] == "lost":
            return "lost"
        if isinstance(work.command, RebuildRoom):
            return "there"
        if work.conflict:
            return "conflict"
        if work.answered is not None:
            return work.answered
        if work.unknown:
            return Refused(ErrorCode.USER_NOT_FOUND)
        return read_number(answer)

    async def _lost(self, room: RoomId, works: list[Work]) -> None:
        """Redis does not have this room: wait for its rebuild. Asking for rooms that nobody knows is limited."""
        stranger = _stranger(works)
        if stranger is not None and not await self._may_ask(stranger):
            for work in works:
                await self._refuse(work, ErrorCode.TOO_MANY_REQUESTS)
            return
        self._parking.park(room, works, self._bring_back(room, stranger))

    async def _bring_back(self, room: RoomId, stranger: UserId | None) -> None:
        exists = await self._rebuild.rebuild(room)
        if exists and stranger is not None:
            key = redis_keys.limit("unknown-rooms", stranger)
            await retrying(lambda: self._redis.execute(lambda pipe, _: pipe.decr(key)), (RedisUnavailable,))

    async def _may_ask(self, user: UserId) -> bool:
        key = redis_keys.limit("unknown-rooms", user)
        count, _ = await retrying(lambda: self._redis.execute(lambda pipe, _: _count(pipe, key)), (RedisUnavailable,))
        return int(count) <= self._settings.unknown_rooms_a_minute

    # Publish

    async def _publish(self, works: list[Work]) -> list[Work]:
        """Works whose event is in the log, the same order. From the first failure on a room waits and repeats."""
        fresh = []
        for work in works:
            work.event = _event(work)
            if not _numbers(work).committed:
                fresh.append(work)
        receipts = await self._events.publish([Outgoing(work.room, _json(work)) for work in fresh])
        failed: dict[RoomId, list[Work]] = {}
        for work, ok in zip(fresh, receipts, strict=True):
            if not ok or work.room in failed:
                failed.setdefault(work.room, []).append(work)
        for room, rest in failed.items():
            log.warning("not_published room %s: %d events wait", room, len(rest))
            self._again(room, rest)
        missing = {id(work) for rest in failed.values() for work in rest}
        return [work for work in works if id(work) not in missing]

    def _again(self, room: RoomId, works: list[Work]) -> None:
        self._parking.put_back(room, works, asyncio.sleep(0.2))

    # COMMIT

    async def _commit(self, works: list[Work]) -> list[tuple[Work, tuple[str, ...]]]:
        """Visible works with the gateways of their room, and of live gateways only."""
        if not works:
            return []
        of_this_epoch = [work for work in works if _numbers(work).epoch]
        live, *answers = await retrying(
            lambda: self._redis.execute(lambda pipe, run_id: self._queue_commits(pipe, run_id, of_this_epoch)),
            (RedisUnavailable,),
        )
        interested = dict(zip(map(id, of_this_epoch), map(read_commit, answers), strict=True))
        committed: list[tuple[Work, tuple[str, ...]]] = []
        lost: dict[RoomId, list[Work]] = {}
        for work in works:
            gateways = interested.get(id(work), ())
            if isinstance(gateways, str) and _numbers(work).committed:
                gateways = ()  # an answer of an earlier epoch: nothing to push
            if isinstance(gateways, str):
                lost.setdefault(work.room, []).append(work)
            else:
                committed.append((work, tuple(gateway for gateway in gateways if gateway in live)))
        for room, rest in lost.items():
            self._again(room, rest)
        return committed

    def _queue_commits(self, pipe: Pipeline, run_id: str, works: Sequence[Work]) -> None:
        call(pipe, LIVE_GATEWAYS, [redis_keys.GATEWAYS], [self._settings.gateway_age])
        for work in works:
            queue_commit(pipe, run_id, _commit(work), self._settings.recent_events)

    # Deliver, reply, ack

    async def _deliver(self, works: Sequence[tuple[Work, tuple[str, ...]]]) -> None:
        items: dict[str, list[Item]] = {}
        for work, gateways in works:
            sender = _sender(work)
            assert work.event is not None
            if _numbers(work).epoch:
                publication = Publication(event=work.event, client=sender.client if sender else None)
                for gateway in gateways:
                    items.setdefault(gateway, []).append(publication)
                await self._let_in(work, items)
            if sender is not None:
                items.setdefault(sender.gateway, []).append(await self._reply(work, sender))
        receipts = await self._outbox.send(items)
        self._tasks.create_task(self._finish(receipts, [work for work, _ in works]))

    async def _let_in(self, work: Work, items: dict[str, list[Item]]) -> None:
        assert work.event is not None
        users = [user for user, _ in rooms.entering(work.event)]
        if not users:
            return
        entered = await retrying(lambda: entrance.let_in(self._redis, work.room, users), (RedisUnavailable,))
        for gateway, news in entered.items():
            items.setdefault(gateway, []).extend(news)

    async def _reply(self, work: Work, sender: Sender) -> Reply:
        numbers, command = _numbers(work), work.command
        if isinstance(command, CreateRoom):
            return await self._summary(work, sender)
        seq = numbers.seq if isinstance(command, SendMessage) else None
        sent = messages.Sent(seq=seq, offset=numbers.offset, time=numbers.time, duplicate=numbers.duplicate)
        return Reply(request=sender.request, result=sent.to_dict())

    async def _summary(self, work: Work, sender: Sender) -> Reply:
        command = work.command
        assert isinstance(command, CreateRoom)
        view = await retrying(lambda: entrance.look(self._redis, work.room, command.actor), (RedisUnavailable,))
        if view is None:
            return Reply(request=sender.request, error=RpcError.of(ErrorCode.NOT_AVAILABLE))
        return Reply(request=sender.request, result=view.summary.to_dict())

    async def _answer(self, work: Work, outcome: Outcome | str) -> None:
        """Works that take no number."""
        match outcome:
            case "there":
                self._inbox.finish(work.incoming)
            case "exists":
                await self._reply_only(work, await self._summary(work, _sender(work) or _NOBODY))
            case AlreadyMember(offset, at):
                sent = messages.Sent(offset=offset, time=at, duplicate=True)
                await self._reply_only(work, Reply(request=(_sender(work) or _NOBODY).request, result=sent.to_dict()))
            case "no_room":
                await self._refuse(work, ErrorCode.ROOM_NOT_FOUND)
            case "conflict":
                await self._refuse(work, ErrorCode.CONFLICT)
            case Refused(code):
                await self._refuse(work, ErrorCode(code))
            case _:
                raise AssertionError(f"unexpected outcome {outcome!r}")

    async def _refuse(self, work: Work, code: ErrorCode) -> None:
        request = (_sender(work) or _NOBODY).request
        await self._reply_only(work, Reply(request=request, error=RpcError.of(code)))

    async def _reply_only(self, work: Work, reply: Reply) -> None:
        sender = _sender(work)
        receipts = await self._outbox.send({sender.gateway: [reply]}) if sender is not None else []
        self._tasks.create_task(self._finish(receipts, [work]))

    async def _finish(self, receipts: Sequence[Receipts], works: Sequence[Work]) -> None:
        """Ack when the deliveries are durable. One that is not is a hole or a missing reply: others cope with both."""
        for receipt in receipts:
            if not all(await receipt.all()):
                log.warning("not_delivered: its gateway is gone, or will resume its clients")
        self._crash.pass_by("delivered")
        for work in works:
            self._inbox.finish(work.incoming)


_NOBODY = Sender(gateway="", client="", request=0)


def _check_keyed(command: RoomCommand | RebuildRoom, incoming: Incoming) -> None:
    if incoming.message.partition_key() != command.room:
        raise ValueError("the message is not keyed by its room")


def _check(command: RoomCommand, settings: Settings) -> None:
    if isinstance(command, SendMessage):
        messages.check_send(command, settings)
    elif isinstance(command, CreateRoom):
        rooms.check_create(command, settings)


def _digest(command: RoomCommand) -> str:
    """Of what the client asked: the same key with another content is a conflict."""
    content = command.model_dump_json(exclude={"sender"}, exclude_none=True)
    return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def _without_hole(works: list[Work]) -> tuple[list[Work], list[Work]]:
    """Works in the order of their offsets, and those that come too early: behind a number whose command is missing.

    Such a command was numbered by an instance that died, and is not acked: the broker will bring it.
    """
    ordered = sorted(works, key=lambda work: _numbers(work).offset)
    committed = [work for work in ordered if _numbers(work).committed]
    pending = [work for work in ordered if not _numbers(work).committed]
    visible = max((_numbers(work).visible for work in pending), default=0)
    dense = [work for index, work in enumerate(pending) if _numbers(work).offset <= visible + 1 + index]
    return committed + dense, pending[len(dense) :]


def _named_users(command: RoomCommand | RebuildRoom) -> set[UserId]:
    """Users who must exist."""
    if isinstance(command, CreateRoom):
        return set(command.members) - {command.actor}
    return {command.user} if isinstance(command, AddMember) else set()


def _active(rows: object) -> bool:
    return isinstance(rows, list) and bool(rows) and rows[0][0] in (None, "active")


def _until_barrier(works: list[Work]) -> tuple[list[Work], list[Work]]:
    """Up to and with the first command that changes who is a member, and what must wait for that to be visible."""
    for index, work in enumerate(works):
        if not isinstance(work.command, SendMessage):
            return works[: index + 1], works[index + 1 :]
    return works, []


def _request(work: Work, command: RoomCommand) -> Request:
    operation: Operation = "send"
    target = None
    if isinstance(command, CreateRoom):
        operation = "create"
    elif isinstance(command, AddMember):
        operation, target = "add", command.user
    sender = command.sender
    origin = f"{sender.gateway}/{sender.request}" if sender else work.incoming.source
    old = _now() - ids.key_time(command.key) > OLD_KEY
    return Request(
        command.room, operation, command.actor, command.key, work.digest, origin, work.looked_up, old, target
    )


def _event(work: Work) -> RoomEvent:
    command, numbers = work.command, _numbers(work)
    if isinstance(command, SendMessage):
        return messages.sent(command, numbers, work.digest)
    if isinstance(command, CreateRoom):
        return rooms.created(command, numbers, work.digest)
    assert isinstance(command, AddMember)
    return rooms.joined(command, numbers, work.digest)


def _commit(work: Work) -> Commit:
    assert work.event is not None
    event = work.event
    return Commit(
        room=work.room, actor=event.actor, key=event.key, epoch=event.epoch, offset=event.offset,
        seq=_numbers(work).seq, event=_json(work), is_message=isinstance(work.command, SendMessage),
        facts=rooms.facts(event), entering=rooms.entering(event),
    )  # fmt: skip


def _json(work: Work) -> bytes:
    assert work.event is not None
    return work.event.to_json()


def _numbers(work: Work) -> Numbers:
    assert work.numbers is not None, "not numbered"
    return work.numbers


def _sender(work: Work) -> Sender | None:
    return None if isinstance(work.command, RebuildRoom) else work.command.sender


def _stranger(works: Sequence[Work]) -> UserId | None:
    """Who asks for a room that may not exist. Nobody, if somebody creates it or archive knows it."""
    if any(isinstance(work.command, (CreateRoom, RebuildRoom)) for work in works):
        return None
    first = works[0].command
    assert not isinstance(first, RebuildRoom)
    return first.actor


def _count(pipe: Pipeline, key: str) -> None:
    pipe.incr(key)
    pipe.expire(key, 60)


def _now() -> int:
    return time.time_ns() // 1_000_000

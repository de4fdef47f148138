"""A room on a real Redis, driven by the scripts alone: numbers without Pulsar."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import redis.exceptions
from redis import Redis
from redis.asyncio.client import Pipeline

from chat_functions.changes import changes
from chat_functions.numbering import (
    FENCE,
    HOLD,
    OPEN_ROOM,
    SEED,
    Commit,
    Numbers,
    Operation,
    Outcome,
    Request,
    queue_commit,
    queue_number,
    read_commit,
    read_number,
)
from chat_functions.rebuild import prepared_keys
from chat_functions.redis_link import RedisLink, call
from pulsar_data import ids, redis_keys
from pulsar_data.events import MessageSent, RoomEvent
from pulsar_data.model import RoomId, UserId
from pulsar_data.rooms import Membership

DAY = 24 * 3600 * 1000
REACTIONS = 200
"""So many a user may react to one message in a day."""


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_user() -> UserId:
    """A user that no other test has."""
    return UserId(str(uuid.uuid4()))


def member(role: str = "member", **more: Any) -> Membership:
    """A membership from the beginning of a room."""
    return Membership.model_validate({"role": role, "joined_seq": 0, "read_seq": 0, "offset": 1, "time": 1, **more})


def wait_for_redis(url: str, seconds: float = 10.0) -> None:
    """Until it answers."""
    deadline = time.monotonic() + seconds
    with Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except redis.exceptions.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


@dataclass
class Room:
    """A room with one owner."""

    link: RedisLink
    id: RoomId = field(default_factory=lambda: RoomId(str(uuid.uuid4())))
    owner: UserId = field(default_factory=new_user)

    async def seed(
        self, epoch: int, offset: int = 0, seq: int = 0, state: str = "live", look_up_until: int = 0,
        stuck: int | str = "", **facts: str,
    ) -> bool:  # fmt: skip
        """As rebuild does; the owner is its only member. False if the room was there already, and not stuck there."""
        await self.fence(epoch, stuck=stuck)
        return await self.seed_fenced(epoch, offset, seq, state, look_up_until, **facts)

    async def seed_fenced(
        self, epoch: int, offset: int = 0, seq: int = 0, state: str = "live", look_up_until: int = 0, **facts: str
    ) -> bool:
        """SEED alone."""
        prepared, banned = prepared_keys(self.id, epoch)
        keys = [
            redis_keys.head(self.id), redis_keys.members(self.id), prepared, redis_keys.recent(self.id),
            redis_keys.banned(self.id), banned,
        ]  # fmt: skip
        pairs = [part for pair in ({"kind": "group", "owners": "1"} | facts).items() for part in pair]
        args: list[str | int] = [epoch, offset, seq, state, look_up_until, "", 0, *pairs]
        await self.link.execute(lambda pipe, _: pipe.hset(prepared, self.owner, member("owner").to_json()))
        return bool((await self.link.execute(lambda pipe, run: call(pipe, SEED, keys, [run, *args])))[0])

    async def fence(self, epoch: int, age: int = 0, stuck: int | str = "") -> list[Any]:
        """FENCE, by whoever takes another for dead after `age` ms."""
        args = [epoch, age, stuck]
        answer = await self.link.execute(lambda pipe, run: call(pipe, FENCE, [redis_keys.head(self.id)], [run, *args]))
        fenced: list[Any] = answer[0]
        return fenced

    async def hold(self, epoch: int) -> bool:
        """HOLD: whether the fence of that epoch still stands."""
        answer = await self.link.execute(lambda pipe, run: call(pipe, HOLD, [redis_keys.head(self.id)], [run, epoch]))
        return bool(answer[0])

    def request(self, key: str | None = None, operation: Operation = "send", **changes: Any) -> Request:
        """A send of the owner with a fresh key."""
        request = Request(
            room=self.id, operation=operation, actor=self.owner, key=key or ids.new_key(now()), digest="d",
            origin="g/1", looked_up=None, made=now(), asks=("",) if operation == "send" else (),
        )  # fmt: skip
        return replace(request, **changes)

    def about(
        self, operation: Operation, user: UserId, actor: UserId | None = None, role: str = "", limit: int = 100
    ) -> Request:
        """A request that is about a member, by the owner or another."""
        return self.request(operation=operation, actor=actor or self.owner, asks=(user, role, limit))

    def of_message(self, operation: Operation, seq: int, found: str = "", emoji: str = "", **changes: Any) -> Request:
        """A request that is about a message."""
        return self.request(operation=operation, asks=(seq, found, emoji, REACTIONS), **changes)

    async def number(self, *requests: Request) -> list[Outcome]:
        """NUMBER for each, in one pipeline."""

        def fill(pipe: Pipeline, run: str) -> None:
            for one in requests:
                queue_number(pipe, run, one, now(), DAY)

        return [read_number(answer) for answer in await self.link.execute(fill)]

    async def commit(self, request: Request, numbers: Numbers, **changes: Any) -> tuple[str, ...] | str:
        """COMMIT of a numbered send."""
        event = MessageSent(
            room=self.id, epoch=numbers.epoch, offset=numbers.offset, time=numbers.time, actor=request.actor,
            key=request.key, seq=numbers.seq, text="hello", digest=request.digest,
        )  # fmt: skip
        commit = Commit(
            room=self.id, actor=request.actor, key=request.key, epoch=numbers.epoch, offset=numbers.offset,
            seq=numbers.seq, event=event.to_json(), is_message=request.operation == "send",
        )  # fmt: skip
        commit = replace(commit, **changes)
        return read_commit((await self.link.execute(lambda pipe, run: queue_commit(pipe, run, commit, 3)))[0])

    async def happen(self, request: Request, event: RoomEvent) -> Numbers:
        """Number a change and commit it, as the event that `event` is but for its numbers."""
        (numbers,) = await self.number(request)
        assert isinstance(numbers, Numbers), numbers
        happened = event.model_copy(
            update={"epoch": numbers.epoch, "offset": numbers.offset, "time": numbers.time, "actor": request.actor}
        )
        changed = getattr(happened, "seq", None)
        done = await self.commit(
            request, numbers, event=happened.to_json(), changed_seq=changed, changes=changes(happened)
        )
        assert not isinstance(done, str)
        return numbers

    async def send(self, actor: UserId | None = None) -> Numbers:
        """One message, all the way."""
        request = self.request(actor=actor or self.owner)
        (numbers,) = await self.number(request)
        assert isinstance(numbers, Numbers)
        assert not isinstance(await self.commit(request, numbers), str)
        return numbers

    async def open(
        self, epoch: str = "", offset: int | str = "", token: int | str = "", run: str = "", along: int = 32_768
    ) -> list[Any]:
        """OPEN_ROOM for the owner."""
        keys = [
            redis_keys.head(self.id), redis_keys.members(self.id), redis_keys.recent(self.id),
            redis_keys.interest(self.id), redis_keys.banned(self.id),
        ]  # fmt: skip
        args = [self.owner, "gw-1", token, epoch, offset, 0, along]
        answer = await self.link.execute(lambda pipe, here: call(pipe, OPEN_ROOM, keys, [run or here, *args]))
        opened: list[Any] = answer[0]
        return opened

    async def pretend_other_run(self) -> None:
        """As if the head had been numbered under another Redis: an older copy came back."""
        await self.link.execute(lambda pipe, _: pipe.hset(redis_keys.head(self.id), "run", "another"))

    async def member(self, user: UserId) -> Membership | None:
        """The user's membership."""
        raw = (await self.link.execute(lambda pipe, _: pipe.hget(redis_keys.members(self.id), user)))[0]
        return None if raw is None else Membership.from_json(raw)

    async def ban(self, user: UserId) -> None:
        """Keep a user out, without an event."""
        await self.link.execute(lambda pipe, _: pipe.sadd(redis_keys.banned(self.id), user))

    async def add(self, user: UserId, membership: Membership) -> None:
        """A member, without an event."""
        await self.link.execute(lambda pipe, _: pipe.hset(redis_keys.members(self.id), user, membership.to_json()))

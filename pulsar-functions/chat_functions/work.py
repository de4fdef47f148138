"""One command on its way through chat-router's stages, and what each stage makes of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic_core import to_json

from chat_functions import messages, rooms, rulebook
from chat_functions.batching import Incoming
from chat_functions.changes import changes
from chat_functions.numbering import Commit, Mark, Numbers, Reading, Request
from chat_functions.settings import Settings
from pulsar_data import ids
from pulsar_data.commands import (
    Change,
    Command,
    CreateRoom,
    DeleteMessage,
    EditMessage,
    MarkRead,
    RebuildRoom,
    Sender,
    SendMessage,
    UpdateRoom,
)
from pulsar_data.errors import ErrorCode
from pulsar_data.events import MessageRead, RoomEvent
from pulsar_data.model import RoomId, UserId

OLD_KEY = 22 * 3600 * 1000
"""ms: Redis may have forgotten a key of this age. It remembers for 24 h: a clock that is an hour wrong is borne."""
AT_ONCE = 256
"""Calls of Redis in one round trip."""
LATE = 10.0
"""Seconds. A gateway gives up after five."""
NOBODY = Sender(gateway="", client="", request=0)


@dataclass(slots=True, eq=False)
class Work:
    """A command of a client (`Change`, `MarkRead`), or archive's wish to have a room rebuilt."""

    incoming: Incoming
    command: Command
    digest: str = ""
    looked_up: int | None = None
    """The epoch in which Cassandra was asked for the key. It says nothing about a later epoch."""
    answered: Numbers | None = None
    """From Cassandra: the key was used, long ago or before Redis was lost. Its epoch is 0."""
    conflict: bool = False
    """From Cassandra: the key was used for something else."""
    asked_users: bool = False
    """Whether Cassandra was asked for the named users."""
    verdict: int | None = None
    """The error code that it is, by a limit or by the users that it names, unless its key is known."""
    found: str = ""
    """From Cassandra: the message to change, as lua/rules/message.lua wants it."""
    numbers: Numbers | None = None
    mark: Mark | None = None
    event: RoomEvent | MessageRead | None = None
    encoded: bytes = b""
    """The event as JSON, once for the log, Redis and all gateways."""
    waiting_since: float = field(default_factory=time.monotonic)

    @property
    def room(self) -> RoomId:
        """The key of everything."""
        return self.command.room

    @property
    def asked(self) -> Change:
        """The command of a client that takes a number; never call it for another."""
        assert not isinstance(self.command, (RebuildRoom, MarkRead))
        return self.command

    @property
    def sender(self) -> Sender | None:
        """Who waits for the answer, if anybody."""
        return None if isinstance(self.command, RebuildRoom) else self.command.sender

    @property
    def numbered(self) -> Numbers:
        """Its numbers, from NUMBER on."""
        assert self.numbers is not None, "not numbered"
        return self.numbers

    @property
    def happened(self) -> RoomEvent:
        """Its numbered event, from publishing on."""
        assert self.event is not None and not isinstance(self.event, MessageRead), "not an event yet"
        return self.event

    @property
    def is_told(self) -> bool:
        """Whether it is to be committed and delivered; an answer out of Cassandra was, long ago."""
        return self.mark is not None or self.numbered.epoch != 0

    @property
    def is_visible(self) -> bool:
        """Whether it was committed before this."""
        return self.mark is None and self.numbered.committed


def check(command: Change) -> None:
    """Whatever needs no state, and no setting can change. Raises ChatError."""
    if isinstance(command, (SendMessage, EditMessage)):
        messages.check(command)
    elif isinstance(command, CreateRoom):
        rooms.check_create(command)
    elif isinstance(command, UpdateRoom):
        rooms.check_update(command)


def excess(command: Change, settings: Settings) -> int | None:
    """The error code that it is by the limits of this moment: others may have held when its key was first seen."""
    if isinstance(command, (SendMessage, EditMessage)):
        return messages.excess(command, settings)
    return rooms.excess(command, settings) if isinstance(command, CreateRoom) else None


def digest(command: Change) -> str:
    """Of what the client asked: the same key with another content is a conflict."""
    content = {name: value for name, value in command if name != "sender" and value is not None}
    return hashlib.blake2b(to_json(content), digest_size=12).hexdigest()


def is_late(work: Work) -> bool:
    """Whether it has waited for longer than anybody waits for it. Never of one with a number: that must go on.

    One that an instance numbered before it died looks as if it had none: should its key never come again, its number
    stays missing, and the room is rebuilt with what was published under it.
    """
    return work.numbers is None and work.mark is None and time.monotonic() - work.waiting_since > LATE


def parts(works: Sequence[Work]) -> Iterator[Sequence[Work]]:
    """So many at once that Redis is soon done with them: what takes too long is asked again, and would be for ever.

    A room that is made has all its first members in one command.
    """
    start, weight = 0, 0
    for place, work in enumerate(works):
        weighs = 1 + len(work.command.members) if isinstance(work.command, CreateRoom) else 1
        if place > start and weight + weighs > AT_ONCE:
            yield works[start:place]
            start, weight = place, 0
        weight += weighs
    if start < len(works):
        yield works[start:]


def must_ask(work: Work) -> bool:
    """Whether Cassandra must be asked for users first."""
    if work.asked_users or isinstance(work.command, (SendMessage, RebuildRoom, MarkRead)):
        return False
    return bool(rulebook.strangers(work.command))


def request(work: Work, now: int, settings: Settings, *, full: bool = False) -> Request:
    """What NUMBER is asked; `now` in ms. `full`: there is no room in Redis for anything new."""
    command, sender = work.asked, work.sender
    verdict = int(ErrorCode.INTERNAL) if full else work.verdict
    return Request(
        command.room, rulebook.operation(command), command.actor, command.key, work.digest,
        origin=f"{sender.gateway}/{sender.request}" if sender else work.incoming.source,
        looked_up=work.looked_up, made=0 if _is_old(command.key, now) else ids.key_time(command.key), verdict=verdict,
        asks=rulebook.asks(command, work.found, settings),
    )  # fmt: skip


def event(work: Work, now: int) -> RoomEvent | MessageRead:
    """The event of a numbered command, or of a read mark at `now`, ms."""
    if work.mark is None:
        return rulebook.event(work.asked, work.numbered, work.digest)
    command, mark = work.command, work.mark
    assert isinstance(command, MarkRead)
    return MessageRead(
        room=command.room, epoch=mark.epoch, head=mark.head, time=now, actor=command.actor, seq=command.seq
    )


def commit(work: Work) -> Commit:
    """What COMMIT makes visible."""
    happened, command = work.happened, work.asked
    return Commit(
        room=work.room, actor=happened.actor, key=happened.key, epoch=happened.epoch, offset=happened.offset,
        seq=work.numbered.seq, event=work.encoded, is_message=isinstance(command, SendMessage),
        changed_seq=command.seq if isinstance(command, (EditMessage, DeleteMessage)) else None,
        changes=changes(happened),
    )  # fmt: skip


def reading(work: Work) -> Reading:
    """What MARK_READ raises."""
    event = work.event
    assert isinstance(event, MessageRead)
    return Reading(event.room, event.actor, event.epoch, event.seq)


def until_barrier(works: list[Work], now: int) -> tuple[list[Work], list[Work]]:
    """Up to and with the first command that changes what rules ask for, and what must wait for that to be visible.

    Or whose key is so old at `now` (ms) that Cassandra may have to be asked: what was sent after it comes after it. One
    about whose users it is to be asked first waits itself; what is before it goes on, or newcomers who come faster than
    that takes would let nobody speak.
    """
    for index, work in enumerate(works):
        if must_ask(work):
            return works[:index], works[index:]
        if not isinstance(work.command, (*rulebook.PASSING, MarkRead, RebuildRoom)) or asks_first(work, now):
            return works[: index + 1], works[index + 1 :]
    return works, []


def asks_first(work: Work, now: int) -> bool:
    """Whether Cassandra may have to be asked for its key."""
    command = work.command
    if isinstance(command, (RebuildRoom, MarkRead)) or work.looked_up is not None or work.answered is not None:
        return False
    return _is_old(command.key, now)


def _is_old(key: str, now: int) -> bool:
    return now - ids.key_time(key) > OLD_KEY


def without_hole(works: Sequence[Work]) -> tuple[list[Work], list[Work]]:
    """Works in the order of their offsets, and those that come too early: behind a number whose command is missing.

    Such a command was numbered by an instance that died, and is not acked: the broker will bring it. Several works may
    have one number: clients repeat what is not acked.
    """
    ordered = sorted(works, key=lambda work: work.numbered.offset)
    going = [work for work in ordered if work.numbered.committed]
    pending = [work for work in ordered if not work.numbered.committed]
    reached = max((work.numbered.visible for work in pending), default=0)
    for place, work in enumerate(pending):
        if work.numbered.offset > reached + 1:
            return going, pending[place:]
        reached = max(reached, work.numbered.offset)
        going.append(work)
    return going, []


def stranger(works: Sequence[Work]) -> UserId | None:
    """Who asks for a room that may not exist. Nobody, if somebody creates it, or archive or a service knows it."""
    actors = []
    for work in works:
        if isinstance(work.command, (CreateRoom, RebuildRoom)) or work.command.actor == ids.SYSTEM:
            return None
        actors.append(work.command.actor)
    return actors[0]

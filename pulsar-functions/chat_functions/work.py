"""One command on its way through chat-router's stages, and what each stage makes of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic_core import to_json

from chat_functions import messages, rooms
from chat_functions.batching import Incoming
from chat_functions.numbering import Commit, Numbers, Operation, Request
from chat_functions.settings import Settings
from pulsar_data import ids
from pulsar_data.commands import AddMember, Change, CreateRoom, MarkRead, RebuildRoom, Sender, SendMessage
from pulsar_data.events import RoomEvent
from pulsar_data.model import RoomId, UserId

RoomCommand = Change
KNOWN = (SendMessage, CreateRoom, AddMember)
"""Commands that are worked; others are answered with 108."""
OLD_KEY = 23 * 3600 * 1000
"""ms: Redis may have forgotten a key of this age (it remembers for 24 h)."""
NOBODY = Sender(gateway="", client="", request=0)


@dataclass(slots=True, eq=False)
class Work:
    """A command of a client (`RoomCommand`), or archive's wish to have a room rebuilt."""

    incoming: Incoming
    command: RoomCommand | MarkRead | RebuildRoom
    digest: str = ""
    looked_up: int | None = None
    """The epoch in which Cassandra was asked for the key. It says nothing about a later epoch."""
    answered: Numbers | None = None
    """From Cassandra: the key was used, long ago or before Redis was lost. Its epoch is 0."""
    conflict: bool = False
    """From Cassandra: the key was used for something else."""
    unknown: frozenset[UserId] | None = None
    """Named users who do not exist; None: not asked yet."""
    numbers: Numbers | None = None
    event: RoomEvent | None = None
    encoded: bytes = b""
    """The event as JSON, once for the log, Redis and all gateways."""
    waiting_since: float = field(default_factory=time.monotonic)

    @property
    def room(self) -> RoomId:
        """The key of everything."""
        return self.command.room

    @property
    def asked(self) -> RoomCommand:
        """The command of a client; never call it for a RebuildRoom."""
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
        """Its event, from publishing on."""
        assert self.event is not None, "not an event yet"
        return self.event


def check(command: RoomCommand, settings: Settings) -> None:
    """Whatever needs no state. Raises ChatError."""
    if isinstance(command, SendMessage):
        messages.check_send(command, settings)
    elif isinstance(command, CreateRoom):
        rooms.check_create(command, settings)


def digest(command: RoomCommand) -> str:
    """Of what the client asked: the same key with another content is a conflict."""
    content = [value for name, value in command if name != "sender"]
    return hashlib.blake2b(to_json(content), digest_size=12).hexdigest()


def named_users(command: RoomCommand | MarkRead | RebuildRoom) -> set[UserId]:
    """Users who must exist."""
    if isinstance(command, CreateRoom):
        return set(command.members) - {command.actor}
    return {command.user} if isinstance(command, AddMember) else set()


def request(work: Work, now: int) -> Request:
    """What NUMBER is asked; `now` in ms."""
    command = work.asked
    operation: Operation = "send"
    target = None
    if isinstance(command, CreateRoom):
        operation = "create"
    elif isinstance(command, AddMember):
        operation, target = "add", command.user
    sender = command.sender
    origin = f"{sender.gateway}/{sender.request}" if sender else work.incoming.source
    old = now - ids.key_time(command.key) > OLD_KEY
    return Request(
        command.room, operation, command.actor, command.key, work.digest, origin, work.looked_up, old, target
    )


def event(work: Work) -> RoomEvent:
    """The event of a numbered command."""
    command, numbers = work.asked, work.numbered
    if isinstance(command, SendMessage):
        return messages.sent(command, numbers, work.digest)
    if isinstance(command, CreateRoom):
        return rooms.created(command, numbers, work.digest)
    assert isinstance(command, AddMember)
    return rooms.joined(command, numbers, work.digest)


def commit(work: Work) -> Commit:
    """What COMMIT makes visible."""
    happened = work.happened
    return Commit(
        room=work.room, actor=happened.actor, key=happened.key, epoch=happened.epoch, offset=happened.offset,
        seq=work.numbered.seq, event=work.encoded, is_message=isinstance(work.command, SendMessage),
        facts=rooms.facts(happened), entering=rooms.entering(happened),
    )  # fmt: skip


def until_barrier(works: list[Work]) -> tuple[list[Work], list[Work]]:
    """Up to and with the first command that changes who is a member, and what must wait for that to be visible."""
    for index, work in enumerate(works):
        if not isinstance(work.command, SendMessage):
            return works[: index + 1], works[index + 1 :]
    return works, []


def without_hole(works: Sequence[Work]) -> tuple[list[Work], list[Work]]:
    """Works in the order of their offsets, and those that come too early: behind a number whose command is missing.

    Such a command was numbered by an instance that died, and is not acked: the broker will bring it.
    """
    ordered = sorted(works, key=lambda work: work.numbered.offset)
    committed = [work for work in ordered if work.numbered.committed]
    pending = [work for work in ordered if not work.numbered.committed]
    visible = max((work.numbered.visible for work in pending), default=0)
    dense = [work for index, work in enumerate(pending) if work.numbered.offset <= visible + 1 + index]
    return committed + dense, pending[len(dense) :]


def stranger(works: Sequence[Work]) -> UserId | None:
    """Who asks for a room that may not exist. Nobody, if somebody creates it or archive knows it."""
    if any(isinstance(work.command, (CreateRoom, RebuildRoom)) for work in works):
        return None
    return works[0].asked.actor

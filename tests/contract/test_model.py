"""Whatever people do in a room, and whenever they are cut off: every device ends with what a simple model says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from redis import Redis

from pulsar_data import redis_keys
from pulsar_data.errors import ErrorCode
from pulsar_data.ids import new_key
from pulsar_data.model import RoomId
from tests.clients.people import Person, sign_up
from tests.clients.replica import Held, Json, Replica
from tests.clients.socket import ErrorReply, Gone, Socket
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
T = TypeVar("T")
WITHIN = 60.0
"""Seconds for everybody to have everything."""
WHO, WHICH = st.integers(0, 2), st.integers(0, 9)
EMOJI = st.sampled_from(["👍", "🎉"])


@dataclass
class Phone:
    """A person's device, cut off or not, and what it holds of the room."""

    person: Person
    replica: Replica = field(default_factory=Replica)
    socket: Socket | None = None
    listening: asyncio.Task[None] | None = None
    trouble: AssertionError | None = None

    async def come(self, gateway: str, room: str | None) -> None:
        """Connect, and go on where it was in the room."""
        subs = {f"room:{room}": self.replica.position} if room is not None and self.replica.epoch else {}
        deadline = time.monotonic() + WITHIN
        while self.socket is None:
            try:
                self.socket = await Socket.open(gateway, {"token": self.person.token, "subs": subs})
            except (Gone, ErrorReply):
                assert time.monotonic() < deadline, "never let in again"
                await asyncio.sleep(0.2)
        here = self.socket.welcome["subs"].get(f"room:{room}")
        if here is not None:
            self.replica.resumed(here)
        self.listening = asyncio.create_task(self._listen(self.socket, room))

    async def _listen(self, socket: Socket, room: str | None) -> None:
        with suppress(Gone):
            async for push in socket.pushes():
                self._pushed(push, room)
        if self.socket is socket:
            self.socket = None

    def _pushed(self, push: Json, room: str | None) -> None:
        if room is None or push.get("channel") != f"room:{room}":
            return
        try:
            if "pub" in push:
                self.replica.take(push["pub"])
            elif "subscribe" in push:
                self.replica.stale = True
                self.replica.entered(push["subscribe"])
        except AssertionError as error:
            self.trouble = self.trouble or error

    async def go(self) -> None:
        """Cut the cable."""
        socket, self.socket = self.socket, None
        if self.listening is not None:
            self.listening.cancel()
        if socket is not None:
            await socket.close()


@dataclass
class Model:
    """What must be true of a room of three, made by the first of them."""

    messages: dict[int, Held] = field(default_factory=dict)
    members: set[int] = field(default_factory=lambda: {0, 1, 2})
    read: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(3), 0))

    def refusal(self, who: int, user: str, seq: int, method: str) -> int | None:
        """The error code for changing a message; None if it is allowed."""
        message = self.messages.get(seq)
        if who not in self.members:
            return ErrorCode.NOT_A_MEMBER
        if message is None:
            return ErrorCode.MESSAGE_NOT_FOUND
        if message.deleted:
            return ErrorCode.STALE_EDIT if method == "message.edit" else ErrorCode.MESSAGE_NOT_FOUND
        foreign = message.sender != user
        if foreign and (method == "message.edit" or (method == "message.delete" and who != 0)):
            return ErrorCode.PERMISSION_DENIED
        return None


class Room(RuleBasedStateMachine):
    """The real room and the model, driven by chance. `stack`, `people`, `runner` are set by the test."""

    stack: Stack
    people: list[Person]
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.phones = [Phone(person) for person in self.people]
        self.room = ""
        self.last: tuple[int, Json, Json] | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the devices go on until that is done."""
        return self.runner.run(work)

    @initialize()
    def make(self) -> None:
        """Three people in a new room; at first only its owner is connected."""
        self.run(self.phones[0].come(self.stack.gateways[0], None))
        others = [person.user for person in self.people[1:]]
        made = self.call(0, "room.create", kind="group", name="Test", members=others, expected=None)
        self.room = str(made["room"])
        self.run(self.phones[0].go())
        for who, phone in enumerate(self.phones):
            phone.replica.stale = True
            self.come_back(who, who)
        for who in (0, 1, 2, 1):
            self.send(who, f"from {who}")

    def seq(self, which: int) -> int:
        """That of a message, counted from the newest back; or of one that is not there yet."""
        count = len(self.model.messages)
        return count + 1 - which % (count + 1)

    def call(self, who: int, method: str, expected: int | None, **data: Any) -> Json:
        """Call with a fresh key, in this room; a refusal must be the expected one."""
        data.setdefault("key", new_key(time.time_ns() // 1_000_000))
        if self.room:
            data["room"] = self.room
        try:
            answer = self.run(self._ask(who, method, data))
        except ErrorReply as error:
            assert error.code == expected, f"{method} was refused with {error.code}, not {expected}"
            return {}
        assert expected is None, f"{method} was not refused with {expected}"
        self.last = (who, {"method": method, "data": data}, answer)
        return answer

    async def _ask(self, who: int, method: str, data: Json) -> Json:
        """A call, again and again while it fails for the moment only."""
        deadline = time.monotonic() + WITHIN
        while True:
            phone = self.phones[who]
            try:
                if phone.socket is None:
                    await phone.come(self.stack.gateways[0], self.room or None)
                assert phone.socket is not None
                return await phone.socket.rpc(method, data)
            except Gone:
                await phone.go()
            except ErrorReply as error:
                if not error.temporary:
                    raise
                await asyncio.sleep(0.1)
            assert time.monotonic() < deadline, f"{method} was never answered"

    @rule(who=WHO, text=st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20))
    def send(self, who: int, text: str) -> None:
        """A message takes the next seq."""
        expected = None if who in self.model.members else ErrorCode.NOT_A_MEMBER
        if sent := self.call(who, "message.send", expected, text=text):
            seq = len(self.model.messages) + 1
            assert sent["seq"] == seq
            self.model.messages[seq] = Held(self.people[who].user, text)
            self.model.read[who] = seq

    @rule(who=WHO, which=WHICH, text=st.text("abc", min_size=1, max_size=5))
    def edit(self, who: int, which: int, text: str) -> None:
        """By its author."""
        seq = self.seq(which)
        expected = self.model.refusal(who, self.people[who].user, seq, "message.edit")
        if self.call(who, "message.edit", expected, seq=seq, text=text):
            self.model.messages[seq].text, self.model.messages[seq].edited = text, True

    @rule(who=WHO, which=WHICH)
    def delete(self, who: int, which: int) -> None:
        """By its author, or the owner."""
        seq = self.seq(which)
        expected = self.model.refusal(who, self.people[who].user, seq, "message.delete")
        if self.call(who, "message.delete", expected, seq=seq):
            self.model.messages[seq].bury()

    @rule(who=WHO, which=WHICH, emoji=EMOJI, add=st.booleans())
    def react(self, who: int, which: int, emoji: str, add: bool) -> None:
        """Or take it back."""
        seq, user, method = self.seq(which), self.people[who].user, "reaction.add" if add else "reaction.remove"
        expected = self.model.refusal(who, user, seq, method)
        if self.call(who, method, expected, seq=seq, emoji=emoji):
            message = self.model.messages[seq]
            (message.react if add else message.unreact)(user, emoji)

    @rule(who=WHO, which=WHICH)
    def read(self, who: int, which: int) -> None:
        """A mark rises, up to the last message."""
        seq = self.seq(which)
        known = who in self.model.members
        ahead = seq > len(self.model.messages)
        expected = ErrorCode.NOT_A_MEMBER if not known else ErrorCode.MESSAGE_NOT_FOUND if ahead else None
        self.call(who, "message.read", expected, seq=seq)
        if expected is None:
            self.model.read[who] = max(self.model.read[who], seq)

    @precondition(lambda self: self.last is not None)
    @rule()
    def repeat(self) -> None:
        """The same key again: the same answer, and nothing happens."""
        assert self.last is not None
        who, call, answer = self.last
        again = self.run(self._ask(who, call["method"], call["data"]))
        for name in ("seq", "offset", "time"):
            assert again.get(name) == answer.get(name)

    @rule(who=st.integers(1, 2))
    def move(self, who: int) -> None:
        """The owner removes a member, or adds it again: then nothing before is unread."""
        method = "member.remove" if who in self.model.members else "member.add"
        self.call(0, method, None, user=self.people[who].user)
        self.model.members ^= {who}
        if who in self.model.members:
            self.model.read[who] = len(self.model.messages)
            self.phones[who].replica.stale = True

    @rule(who=WHO)
    def cut_off(self, who: int) -> None:
        """Without a word."""
        self.run(self.phones[who].go())

    @rule(who=WHO, gateway=st.integers(0, 1))
    def come_back(self, who: int, gateway: int) -> None:
        """On any gateway."""
        phone, gateways = self.phones[who], self.stack.gateways
        if phone.socket is None:
            self.run(phone.come(gateways[gateway % len(gateways)], self.room))

    @rule()
    def lose(self) -> None:
        """Redis loses the room."""
        room = RoomId(self.room)
        with Redis.from_url(self.stack.redis.url) as memory:
            memory.delete(redis_keys.head(room), redis_keys.members(room), redis_keys.recent(room))

    def teardown(self) -> None:
        """Everybody comes back, and has what the model has."""
        try:
            if self.room:
                for who in sorted(self.model.members):
                    self.run(self._settled(who))
        finally:
            for phone in self.phones:
                self.run(phone.go())

    async def _settled(self, who: int) -> None:
        phone, deadline = self.phones[who], time.monotonic() + WITHIN
        while True:
            difference = await self._difference(who, phone)
            assert phone.trouble is None, f"device {who}: {phone.trouble}"
            if not difference:
                return
            assert time.monotonic() < deadline, f"device {who} differs: {difference}"
            await asyncio.sleep(0.1)

    async def _difference(self, who: int, phone: Phone) -> str:
        listed = (await self._ask(who, "message.list", {"room": self.room, "limit": 200}))["messages"]
        if {one["seq"]: Held.read(one) for one in listed} != self.model.messages:
            return f"it reads {listed}, and not {self.model.messages}"
        if phone.replica.stale:
            phone.replica.reload(list(listed))
        if phone.replica.messages != self.model.messages:
            return f"it holds {phone.replica.messages}, and not {self.model.messages}"
        rooms = {room["room"]: room for room in (await self._ask(who, "room.list", {}))["rooms"]}
        unread = len(self.model.messages) - self.model.read[who]
        summary = rooms.get(self.room, {})
        return "" if summary.get("unread") == unread else f"{summary.get('unread')} are unread, and not {unread}"


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """The loop in which all devices live."""
    with asyncio.Runner() as running:
        yield running


def test_every_device_ends_with_what_the_model_says(stack: Stack, runner: asyncio.Runner) -> None:
    """Sends, edits, deletions, reactions, reads, repeats, comings and goings, and a forgetful Redis, by chance."""
    people = runner.run(sign_up(stack.auth, 3))
    machine = type("TheRoom", (Room,), {"stack": stack, "people": people, "runner": runner})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=50,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),  # a failure is waited for: making it smaller would take an hour
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )

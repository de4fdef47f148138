"""What may become of a message: edited, deleted, answered, reacted to, on every member's device in one order."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import redis.asyncio

from pulsar_data import redis_keys
from pulsar_data.errors import ErrorCode
from pulsar_data.model import RoomId
from tests.clients.device import Device, Json, devices, group
from tests.clients.people import sign_up
from tests.clients.waiting import until
from tests.cql import statements
from tests.faults.functions import Functions
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


@dataclass
class Talk:
    """Ada owns a group with Grace and Lin; each has a device."""

    stack: Stack
    ada: Device
    grace: Device
    lin: Device
    room: str

    async def say(self, device: Device, text: str = "hello", **more: Any) -> int:
        """Send a message; returns its seq."""
        return int((await device.call("message.send", room=self.room, text=text, **more))["seq"])

    async def message(self, seq: int) -> Json:
        """The message as Lin reads it."""
        page = await self.lin.call("message.list", room=self.room, around=seq, limit=1)
        found: Json = page["messages"][0]
        return found

    async def reads(self, seq: int, **fields: Any) -> None:
        """Wait until Lin reads it so."""

        async def as_wanted() -> bool:
            message = await self.message(seq)
            return all(message.get(name) == value for name, value in fields.items())

        await until(f"message {seq} has {fields}", as_wanted, 30)

    async def is_stored(self) -> None:
        """Wait until message-store has written all that was committed of the room; readers need not wait for it."""
        offset = (await self.lin.call("room.get", room=self.room))["head"]["offset"]

        async def as_far() -> bool:
            heads = await asyncio.to_thread(
                self.select, "SELECT offset FROM {keyspace}.room_heads WHERE room_id = {room}"
            )
            return bool(heads) and heads[0].offset >= offset

        await until("all is stored", as_far, 30)

    async def forget_recent(self) -> None:
        """As if so much had happened since that Redis has let go of all messages; so they are stored."""
        await self.is_stored()
        async with redis.asyncio.Redis.from_url(self.stack.redis.url) as memory:
            await memory.ltrim(redis_keys.recent(RoomId(self.room)), 1, 0)

    def bury_in_tombstones(self, seq: int, count: int = 101_000) -> None:
        """So many reactions of a message are taken back, without having been there. Blocks."""
        place = self.stack.cassandra
        with statements(place) as execute:
            for start in range(0, count, 2000):
                gone = ", ".join(f"('{number}', {self.ada.user})" for number in range(start, start + 2000))
                execute(
                    f"UPDATE {place.keyspace}.messages SET reactions = reactions - {{{gone}}}"
                    f" WHERE room_id = {self.room} AND bucket = 0 AND seq = {seq}"
                )

    def select(self, cql: str) -> list[Any]:
        """Rows of Cassandra. Blocks."""
        place = self.stack.cassandra
        with statements(place) as execute:
            return list(execute(cql.format(keyspace=place.keyspace, room=UUID(self.room))))


@pytest.fixture
async def talk(stack: Stack) -> AsyncIterator[Talk]:
    """A new room."""
    async with AsyncExitStack() as open_things:
        people = await sign_up(stack.auth, 3)
        homes = [stack.gateways[0], stack.gateways[-1], stack.gateways[0]]
        ada, grace, lin = await open_things.enter_async_context(devices(*zip(people, homes, strict=True)))
        yield Talk(stack, ada, grace, lin, await group(ada, grace, lin))


async def test_a_message_just_sent_can_be_changed_at_once(talk: Talk) -> None:
    """Stored or not; every member sees each change, in one order, under dense offsets."""
    seq = await talk.say(talk.grace, "frist")
    at = {"room": talk.room, "seq": seq}
    edit = await talk.grace.call("message.edit", text="first", mentions=[talk.ada.user], meta={"n": None}, **at)
    added = await talk.ada.call("reaction.add", emoji="👍🏽", **at)
    removed = await talk.ada.call("reaction.remove", emoji="👍🏽", **at)
    assert [edit["offset"], added["offset"], removed["offset"]] == [3, 4, 5]
    assert not edit["duplicate"]
    for device in (talk.ada, talk.grace, talk.lin):
        edited = await device.event(talk.room, "message_edited")
        assert (edited["data"]["seq"], edited["data"]["text"], edited["offset"]) == (seq, "first", 3)
        assert edited["data"]["meta"] == {"n": None}
        await device.event(talk.room, "reaction_removed")
        assert device.events(talk.room)[-4:] == ["message_sent", "message_edited", "reaction_added", "reaction_removed"]
    await talk.reads(seq, text="first", edited_at=edit["time"], mentions=[talk.ada.user], meta={"n": None})


async def test_a_deleted_message_is_a_tombstone(talk: Talk) -> None:
    """Its numbers stay; all else is gone, from Cassandra too. Nothing changes it any more."""
    seq = await talk.say(talk.grace, "secret", mentions=[talk.ada.user], meta={"a": "secret"})
    at = {"room": talk.room, "seq": seq}
    await talk.lin.call("reaction.add", emoji="secret", **at)
    assert await talk.lin.refused("message.delete", **at) == ErrorCode.PERMISSION_DENIED
    await talk.ada.call("message.delete", **at)
    assert (await talk.lin.event(talk.room, "message_deleted"))["data"]["actor"] == talk.ada.user
    assert await talk.grace.refused("message.edit", text="again", **at) == ErrorCode.STALE_EDIT
    assert await talk.lin.refused("reaction.add", emoji="x", **at) == ErrorCode.MESSAGE_NOT_FOUND
    assert await talk.grace.refused("message.delete", **at) == ErrorCode.MESSAGE_NOT_FOUND
    await talk.reads(seq, deleted=True, text="", mentions=[], reactions={}, sender=talk.grace.user)

    async def forgotten() -> bool:
        rows = await asyncio.to_thread(
            talk.select, "SELECT * FROM {keyspace}.messages WHERE room_id = {room} AND bucket = 0"
        )
        return bool(rows) and "secret" not in str(rows)

    await until("Cassandra has nothing of the message", forgotten, 30)


async def test_what_may_not_be_done_to_a_message_is_refused_with_its_own_code(talk: Talk) -> None:
    """And nothing of it happens."""
    seq = await talk.say(talk.grace)
    room = talk.room
    assert await talk.ada.refused("message.edit", room=room, seq=seq, text="x") == ErrorCode.PERMISSION_DENIED
    assert await talk.grace.refused("message.edit", room=room, seq=seq, text=" ") == ErrorCode.BAD_REQUEST
    assert await talk.grace.refused("message.edit", room=room, seq=seq, text="x" * 4001) == ErrorCode.LIMIT_EXCEEDED
    assert await talk.grace.refused("message.edit", room=room, seq=9, text="x") == ErrorCode.MESSAGE_NOT_FOUND
    assert await talk.grace.refused("message.send", room=room, text="x", reply_to=9) == ErrorCode.MESSAGE_NOT_FOUND
    for emoji in ("", "a b", "x" * 33, "\n"):
        assert await talk.grace.refused("reaction.add", room=room, seq=seq, emoji=emoji) == ErrorCode.BAD_REQUEST
    assert await talk.say(talk.ada, reply_to=seq) == seq + 1
    assert (await talk.message(seq + 1))["reply_to"] == seq


async def test_reactions_commute_and_repeat(talk: Talk) -> None:
    """Each user once for each emoji, whatever comes first and however often."""
    seq = await talk.say(talk.grace)
    at = {"room": talk.room, "seq": seq, "emoji": "🎉"}
    everybody = (talk.ada, talk.grace, talk.lin)
    first = await asyncio.gather(*(device.call("reaction.add", **at) for device in everybody))
    again = await talk.ada.call("reaction.add", **at)
    assert again["duplicate"]
    assert again["offset"] == first[0]["offset"]
    await talk.lin.call("reaction.remove", **at)

    async def two_are_left() -> bool:
        return set((await talk.message(seq))["reactions"].get("🎉", ())) == {talk.ada.user, talk.grace.user}

    await until("two reactions are left", two_are_left, 30)


async def test_messages_that_redis_has_forgotten_are_changed_by_the_same_rules(talk: Talk) -> None:
    """Cassandra knows the author, and what was deleted."""
    one, two = await talk.say(talk.grace, "one"), await talk.say(talk.grace, "two")
    await talk.grace.call("message.delete", room=talk.room, seq=two)
    await talk.reads(two, deleted=True)
    await talk.forget_recent()
    assert await talk.ada.refused("message.edit", room=talk.room, seq=one, text="x") == ErrorCode.PERMISSION_DENIED
    assert await talk.grace.refused("message.edit", room=talk.room, seq=two, text="x") == ErrorCode.STALE_EDIT
    await talk.grace.call("message.edit", room=talk.room, seq=one, text="once")
    await talk.reads(one, text="once")


async def test_a_room_keeps_messages_as_long_as_it_says(talk: Talk) -> None:
    """By the time to live of the rows: an edit does not lengthen it, and what was sent before has none."""
    before = await talk.say(talk.ada, "before")
    await talk.ada.call("room.update", room=talk.room, retention_days=2)
    seq = await talk.say(talk.ada, "kept")
    await talk.ada.call("message.edit", room=talk.room, seq=seq, text="edited")
    await talk.reads(seq, text="edited")
    await talk.is_stored()
    found = await asyncio.to_thread(
        talk.select,
        "SELECT seq, ttl(text) AS text, ttl(sender) AS sender FROM {keyspace}.messages"
        " WHERE room_id = {room} AND bucket = 0",
    )
    rows = {row.seq: row for row in found}
    assert rows[before].text is None
    for left in (rows[seq].text, rows[seq].sender):
        assert 2 * 86_400 - 600 < left <= 2 * 86_400


async def test_the_list_of_rooms_shows_the_last_message_as_it_is_now(talk: Talk) -> None:
    """Edited or deleted, also when Redis has lost it meanwhile; a reaction does not take that back."""
    await talk.say(talk.ada, "one")
    seq = await talk.say(talk.grace, "two")
    await talk.grace.call("message.edit", room=talk.room, seq=seq, text="three")
    await talk.ada.call("reaction.add", room=talk.room, seq=seq, emoji="👍")

    async def shown() -> Json:
        rooms = {room["room"]: room for room in (await talk.lin.call("room.list"))["rooms"]}
        last: Json = rooms[talk.room]["last_message"]
        return last

    async def lose() -> None:
        async with redis.asyncio.Redis.from_url(talk.stack.redis.url) as memory:
            await memory.delete(redis_keys.head(RoomId(talk.room)))

    for step in (asyncio.sleep(0), lose()):
        await step
        assert ((await shown())["text"], "edited_at" in await shown()) == ("three", True)
    await talk.grace.call("message.delete", room=talk.room, seq=seq)
    for step in (asyncio.sleep(0), lose()):
        await step
        assert ((await shown())["text"], (await shown()).get("deleted")) == ("", True)


async def test_a_message_that_cassandra_does_not_read_stops_nobody_in_its_room(talk: Talk) -> None:
    """As one has become from which more was taken back than Cassandra looks through: refused for the moment."""
    seq = await talk.say(talk.grace, "popular")
    await talk.forget_recent()
    await asyncio.to_thread(talk.bury_in_tombstones, seq)
    try:
        refused = await talk.grace.once("message.edit", room=talk.room, seq=seq, text="x")
        assert refused is not None
        assert (refused.code, refused.temporary) == (ErrorCode.INTERNAL, True)
        took: list[float] = []
        for number in range(1, 4):
            started = time.monotonic()
            assert await talk.say(talk.ada) == seq + number
            took.append(time.monotonic() - started)
        assert min(took) < 3, took  # of three: Cassandra has been busy with the tombstones
    finally:  # others read the whole table
        message = f"room_id = {talk.room} AND bucket = 0 AND seq = {seq}"
        await asyncio.to_thread(talk.select, f"DELETE FROM {{keyspace}}.messages WHERE {message}")
    assert len(await asyncio.to_thread(talk.select, "SELECT text FROM {keyspace}.messages")) > 0


async def test_what_was_deleted_is_not_shown_again_behind_a_store_that_lags(talk: Talk) -> None:
    """More has happened since than Redis remembers: rather no page than one with what somebody took back."""
    functions = Functions(talk.stack)
    seq = await talk.say(talk.ada, "secret")
    await talk.forget_recent()
    stopped = list((await functions.processes("message-store")).values())
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        await talk.ada.call("message.delete", room=talk.room, seq=seq)
        async with redis.asyncio.Redis.from_url(talk.stack.redis.url) as memory:
            for text in ("one", "two"):
                await talk.say(talk.ada, text)
            await memory.ltrim(redis_keys.recent(RoomId(talk.room)), -2, -1)
        for method, data in (
            ("message.list", {"before": seq + 1}), ("message.search", {"query": "secret"}), ("member.list", {})
        ):  # fmt: skip
            refused = await talk.lin.once(method, room=talk.room, **data)
            assert refused is not None, method
            assert refused.code == ErrorCode.INTERNAL, method
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        await functions.close()
    await talk.reads(seq, deleted=True, text="")

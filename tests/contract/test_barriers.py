"""Commands of one batch that others must wait for: in order, and for no longer than something changes."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from pulsar_data.commands import AddReaction, Command, DeleteMessage, RebuildRoom, RemoveMember
from pulsar_data.errors import ErrorCode
from pulsar_data.ids import new_key
from pulsar_data.model import RoomId, UserId
from tests.contract.asking import now, sends
from tests.contract.conftest import House

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
MANY = 200
"""Commands in one go."""


def _deletes(house: House, room: str, person: int, count: int, seq: int = 1) -> list[Command]:
    actor = UserId(house.users[person])
    return [
        DeleteMessage(room=RoomId(room), actor=actor, key=new_key(now()), sender=house.asker.sender(), seq=seq)
        for _ in range(count)
    ]


async def test_what_is_refused_holds_nobody_up_and_changes_no_order(house: House) -> None:
    """A member tries to delete what is not theirs, again and again; what others say in between is said in order."""
    room = await house.room()
    await house.say(room, "mine")
    commands: list[Command] = []
    for number in range(MANY // 4):
        commands += _deletes(house, room, 1, 3)
        commands += sends(house.asker, room, house.users[0], [str(number)])
        commands.append(RebuildRoom(room=RoomId(room)))
    began = time.monotonic()
    replies = await asyncio.to_thread(house.asker.answers_to, commands)
    print(f"{len(replies)} answers in {time.monotonic() - began:.2f} s")
    refused = [reply.error.code for reply in replies if reply.error is not None]
    assert refused == [ErrorCode.PERMISSION_DENIED] * (MANY // 4 * 3)
    said = [reply.result for reply in replies if reply.result]
    assert [result["seq"] for result in said] == list(range(2, 2 + MANY // 4))
    page = (await house.rpc("message.list", {"room": room, "limit": MANY}))["messages"]
    assert [message["text"] for message in page] == ["mine", *map(str, range(MANY // 4))]


async def test_what_changes_something_is_waited_for_also_behind_what_changed_nothing(house: House) -> None:
    """Who is put out behind refused commands says nothing more; a message that is deleted gets no more reactions."""
    chance = random.Random(1)
    for _ in range(10):
        room = await house.room()
        await house.say(room, "one")
        before = chance.randrange(12)
        remove = RemoveMember(
            room=RoomId(room), actor=UserId(house.users[0]), key=new_key(now()), sender=house.asker.sender(),
            user=UserId(house.users[1]),
        )  # fmt: skip
        reaction = AddReaction(
            room=RoomId(room), actor=UserId(house.users[0]), key=new_key(now()), sender=house.asker.sender(), seq=1,
            emoji="+1",
        )  # fmt: skip
        commands: list[Command] = [
            *_deletes(house, room, 1, before), *_deletes(house, room, 0, 1), reaction,
            *_deletes(house, room, 1, before),
            *sends(house.asker, room, house.users[1], ["still here"]), remove,
            *sends(house.asker, room, house.users[1], ["and gone"]),
        ]  # fmt: skip
        replies = await asyncio.to_thread(house.asker.answers_to, commands)
        codes = [reply.error.code if reply.error else 0 for reply in replies]
        deleted, refused = codes[before], codes[before + 1]
        assert (deleted, refused) == (0, ErrorCode.MESSAGE_NOT_FOUND), codes
        assert codes[-3:] == [0, 0, ErrorCode.NOT_A_MEMBER], codes


async def test_many_messages_under_old_keys_are_said_in_order_and_only_once(house: House) -> None:
    """Somebody was away for a day: Cassandra is asked for all of their keys at once, also when all come again."""
    room = await house.room()
    old = now() - 23 * 3600 * 1000
    keys = [new_key(old + number) for number in range(50)]

    def said() -> list[Command]:
        messages = sends(house.asker, room, house.users[0], [str(number) for number in range(len(keys))])
        return [message.model_copy(update={"key": key}) for message, key in zip(messages, keys, strict=True)]

    for duplicate in (None, True):
        replies = await asyncio.to_thread(
            house.asker.answers_to, [*said(), *sends(house.asker, room, house.users[0], ["x"])]
        )
        assert [reply.error for reply in replies] == [None] * (len(keys) + 1)
        results = [reply.result or {} for reply in replies]
        assert [result["seq"] for result in results[:-1]] == list(range(1, 1 + len(keys)))
        assert {result.get("duplicate") for result in results[:-1]} <= {duplicate, False}

"""message.list: pages in every direction, the same whether the messages are stored yet or not."""

from __future__ import annotations

from typing import Any

import pytest

from pulsar_data.errors import ErrorCode
from pulsar_data.ids import new_key
from tests.contract.asking import now
from tests.contract.conftest import House

pytestmark = [pytest.mark.stack, pytest.mark.anyio]

PAGES = [
    ({"limit": 3}, [10, 11, 12], True),
    ({}, list(range(1, 13)), False),
    ({"before": 4, "limit": 5}, [1, 2, 3], False),
    ({"before": 7, "limit": 3}, [4, 5, 6], True),
    ({"after": 0, "limit": 4}, [1, 2, 3, 4], True),
    ({"after": 10, "limit": 4}, [11, 12], False),
    ({"after": 12}, [], False),
    ({"around": 6, "limit": 4}, [4, 5, 6, 7], True),
    ({"around": 1, "limit": 2}, [1, 2], True),
    ({"around": 6, "limit": 200}, list(range(1, 13)), False),
    ({"before": 1}, [], False),
]


async def test_pages_are_exact_before_and_after_their_messages_are_stored(house: House) -> None:
    """Right after the acks the messages come from Redis, later from Cassandra: nobody can tell."""
    room = await house.room()
    await house.say(room, *(f"message {number}" for number in range(1, 13)))
    fresh = [await house.rpc("message.list", {"room": room, **asked}) for asked, _, _ in PAGES]
    for page, (asked, seqs, more) in zip(fresh, PAGES, strict=True):
        assert ([message["seq"] for message in page["messages"]], page["more"]) == (seqs, more), asked
        assert page["head"]["seq"] == 12
        assert [message["text"] for message in page["messages"]] == [f"message {seq}" for seq in seqs]
    await house.functions.until_idle()
    assert [await house.rpc("message.list", {"room": room, **asked}, person=1) for asked, _, _ in PAGES] == fresh


async def test_a_room_one_is_not_in_and_one_that_is_not_there_are_refused(house: House) -> None:
    """403 and 400 for every way to read."""
    room = await house.room(grace=False)
    for method in ("message.list", "message.search", "member.list", "room.get"):
        extra = {"query": "word"} if method == "message.search" else {}
        assert await house.refusal(method, {"room": room, **extra}, person=1) == ErrorCode.NOT_A_MEMBER
        nowhere = {"room": "11111111-1111-4111-8111-111111111111", **extra}
        assert await house.refusal(method, nowhere) == ErrorCode.ROOM_NOT_FOUND


async def test_only_one_direction_at_a_time(house: House) -> None:
    """107, and the socket lives."""
    room = await house.room()
    assert await house.refusal("message.list", {"room": room, "before": 3, "after": 1}) == ErrorCode.BAD_REQUEST
    assert (await house.rpc("message.list", {"room": room}))["messages"] == []


async def test_everybody_reads_in_a_channel(house: House) -> None:
    """Who has not joined reads messages, members and the room, which tells no role; but is pushed nothing."""
    room = await house.room(grace=False, kind="channel")
    await house.say(room, "welcome")
    page = await house.rpc("message.list", {"room": room}, person=1)
    assert [message["text"] for message in page["messages"]] == ["welcome"]
    summary = await house.rpc("room.get", {"room": room}, person=1)
    assert ("role" in summary, summary["unread"], summary["last_message"]["text"]) == (False, 0, "welcome")
    assert [one["user"] for one in (await house.rpc("member.list", {"room": room}, person=1))["members"]] == [
        house.users[0]
    ]
    refused = await house.wires[1].refused(subscribe={"channel": f"room:{room}"})
    assert refused == ErrorCode.PERMISSION_DENIED
    assert (await house.rpc("room.list", {}, person=1))["rooms"] == []


async def test_what_became_of_messages_is_shown_before_and_after_it_is_stored(house: House) -> None:
    """Edits, deletions and reactions, of messages that are stored and of such that are not: one order for everybody."""
    room = await house.room()
    await house.say(room, "one", "two", "three", "four")

    async def change(method: str, person: int = 0, **data: Any) -> None:
        await house.rpc(method, {"room": room, "key": new_key(now()), **data}, person)

    for first in (1, 3):  # the first two are stored when they are changed, the others perhaps not
        await change("message.edit", seq=first, text=f"edited {first}")
        await change("reaction.add", seq=first, emoji="🎉")
        await change("reaction.add", seq=first, emoji="🎉", person=1)
        await change("reaction.add", seq=first, emoji="👀", person=1)
        await change("reaction.add", seq=first, emoji="🙈")
        await change("reaction.remove", seq=first, emoji="🙈")
        await change("message.delete", seq=first + 1)
        fresh = await house.rpc("message.list", {"room": room})
        await house.functions.until_idle()
        assert await house.rpc("message.list", {"room": room}, person=1) == fresh
    for seq, message in enumerate(fresh["messages"], start=1):
        if seq % 2:
            assert (message["text"], message["edited_at"] > 0) == (f"edited {seq}", True)
            assert message["reactions"] == {"🎉": sorted(house.users), "👀": [house.users[1]]}
            assert list(message["reactions"]) == sorted(message["reactions"])
        else:
            assert (message["text"], message["deleted"], message["reactions"]) == ("", True, {})
    await house.say(room, *["filler"] * 510)  # so that Redis remembers none of it
    await house.functions.until_idle()
    assert (await house.rpc("message.list", {"room": room, "before": 5}))["messages"] == fresh["messages"]

"""Answers of whatever people have written: each fits into one Pulsar message, and says whether there is more."""

from __future__ import annotations

import asyncio

import pytest

from pulsar_data.commands import AddReaction
from pulsar_data.ids import new_key
from pulsar_data.model import RoomId, UserId
from tests.contract.asking import now, sends
from tests.contract.conftest import House

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
LONG = "word " + "😀" * 3900
"""Characters of four bytes each."""
MANY = 250
"""Of these, more than fit into one Pulsar message."""


async def test_long_messages_come_in_shorter_pages(house: House) -> None:
    """Fewer than asked for, the right end of them, and `more`; by pages everything is there. So with a search."""
    room = await house.room()
    for _ in range(0, MANY, 25):  # at once it would be more than a socket may owe: both are in the room
        await house.say(room, *[LONG] * 25)
    newest = await house.rpc("message.list", {"room": room, "limit": 200})
    seqs = [message["seq"] for message in newest["messages"]]
    assert newest["more"]
    assert seqs == list(range(MANY - len(seqs) + 1, MANY + 1))
    seen: list[int] = []
    while True:
        page = await house.rpc("message.list", {"room": room, "after": seen[-1] if seen else 0, "limit": 200})
        seen += [message["seq"] for message in page["messages"]]
        if not page["more"]:
            break
    assert seen == list(range(1, MANY + 1))
    around = await house.rpc("message.list", {"room": room, "around": 100, "limit": 200})
    seqs = [message["seq"] for message in around["messages"]]
    assert 100 in seqs
    assert seqs == list(range(seqs[0], seqs[-1] + 1))
    found = await house.rpc("message.search", {"room": room, "query": "word", "limit": 100})
    assert found["more"]


async def test_a_list_of_rooms_leaves_out_long_last_messages(house: House) -> None:
    """Rather than fail."""
    text, mentions = "x" * 4000, tuple(UserId(new_key(now())) for _ in range(900))
    for _ in range(150):
        room = await house.room()
        (said,) = sends(house.asker, room, house.users[0], [text])
        await asyncio.to_thread(house.asker.command_all, [said.model_copy(update={"mentions": mentions})])
    page = await house.rpc("room.list", {"limit": 200})
    assert len(page["rooms"]) == 150
    shown = [room for room in page["rooms"] if room.get("last_message")]
    assert 0 < len(shown) < 150


async def test_hundreds_of_reactions_at_once_are_soon_done(house: House) -> None:
    """In a room with hundreds of them: each looks through recent events, and Redis is asked for some at a time."""
    room = await house.room()
    for _ in range(20):  # to one message a user may react a hundred times a day
        await house.say(room, "popular")
    for _ in range(2):
        adds = [
            AddReaction(room=RoomId(room), actor=UserId(house.users[0]), key=new_key(now()),
                        sender=house.asker.sender(), seq=1 + number % 20, emoji=f"{number:03}-{new_key(now())[-8:]}")
            for number in range(900)
        ]  # fmt: skip
        await asyncio.to_thread(house.asker.command_all, adds)

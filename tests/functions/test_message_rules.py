"""NUMBER's rules about messages, on a real Redis: who may change which, and what counts of what has happened to it."""

from __future__ import annotations

import json
import statistics
import time

import pytest

from chat_functions.numbering import FindMessage, Numbers, Operation, Refused, Unchanged
from chat_functions.redis_link import RedisLink
from pulsar_data import ids, redis_keys
from pulsar_data.errors import ErrorCode
from pulsar_data.events import MessageDeleted, MessageSent, ReactionAdded
from pulsar_data.model import UserId
from tests.functions.room import REACTIONS, Room, member, new_user, now

pytestmark = pytest.mark.anyio
CHANGES: tuple[Operation, ...] = ("edit", "delete", "react", "unreact")


def deleted(room: Room, seq: int) -> MessageDeleted:
    """Its deletion; numbers and actor are given later."""
    return MessageDeleted(
        room=room.id, epoch=1, offset=1, time=1, actor=room.owner, key=ids.new_key(now()), digest="d", seq=seq
    )


def reacted(room: Room, seq: int, emoji: str) -> ReactionAdded:
    """A reaction; numbers and actor are given later."""
    return ReactionAdded(
        room=room.id, epoch=1, offset=1, time=1, actor=room.owner, key=ids.new_key(now()), digest="d", seq=seq,
        emoji=emoji,
    )  # fmt: skip


async def talk(redis: RedisLink) -> tuple[Room, UserId]:
    """A room with an owner and a member, who has sent message 1."""
    room, author = Room(redis), new_user()
    await room.seed(epoch=1)
    await room.add(author, member())
    assert (await room.send(author)).seq == 1
    return room, author


async def test_a_message_is_edited_by_its_author_alone(redis: RedisLink) -> None:
    """Not even by the owner."""
    room, author = await talk(redis)
    own, foreign = await room.number(room.of_message("edit", 1, actor=author), room.of_message("edit", 1))
    assert isinstance(own, Numbers)
    assert own.seq == 1, "an edit takes no seq"
    assert foreign == Refused(ErrorCode.PERMISSION_DENIED)


async def test_a_message_is_deleted_by_its_author_or_a_moderator(redis: RedisLink) -> None:
    """Other members may not."""
    room, author = await talk(redis)
    other, moderator = new_user(), new_user()
    await room.add(other, member())
    await room.add(moderator, member("moderator"))
    outcomes = await room.number(*(room.of_message("delete", 1, actor=who) for who in (author, moderator, other)))
    assert [type(outcome) for outcome in outcomes] == [Numbers, Numbers, Refused]


async def test_a_deleted_message_is_changed_no_more(redis: RedisLink) -> None:
    """An edit is stale, 408; for all else it is not there, 401."""
    room, author = await talk(redis)
    await room.happen(room.of_message("delete", 1, actor=author), deleted(room, 1))
    outcomes = await room.number(*(room.of_message(change, 1, actor=author) for change in CHANGES))
    assert outcomes == [Refused(ErrorCode.STALE_EDIT), *[Refused(ErrorCode.MESSAGE_NOT_FOUND)] * 3]


@pytest.mark.parametrize("seq", [0, 2, 10])
async def test_a_message_that_is_not_there_is_401(redis: RedisLink, seq: int) -> None:
    """Neither before the first nor behind the last; 1 is not 10."""
    room, author = await talk(redis)
    outcomes = await room.number(*(room.of_message(change, seq, actor=author) for change in CHANGES))
    assert outcomes == [Refused(ErrorCode.MESSAGE_NOT_FOUND)] * 4


async def test_cassandra_is_asked_for_what_the_recent_events_do_not_reach(redis: RedisLink) -> None:
    """Which hold three here; its answer then counts."""
    room, author = await talk(redis)
    for _ in range(3):
        await room.send()
    expires = now() + 86_400_000
    knows = [
        "", "-",
        json.dumps({"author": author, "deleted": False, "expires": expires}),
        json.dumps({"author": room.owner, "deleted": False}),
        json.dumps({"author": author, "deleted": True}),
    ]  # fmt: skip
    outcomes = await room.number(*(room.of_message("edit", 1, found, actor=author) for found in knows))
    unknown, none, own, foreign, gone = outcomes
    assert unknown == FindMessage()
    assert none == Refused(ErrorCode.MESSAGE_NOT_FOUND)
    assert isinstance(own, Numbers)
    assert own.expires == expires
    assert foreign == Refused(ErrorCode.PERMISSION_DENIED)
    assert gone == Refused(ErrorCode.STALE_EDIT)


async def test_what_meta_says_is_no_event(redis: RedisLink) -> None:
    """A message may hold what looks like a deletion."""
    room, author = await talk(redis)
    request = room.request(actor=author)
    (given,) = await room.number(request)
    assert isinstance(given, Numbers)
    event = MessageSent(
        room=room.id, epoch=1, offset=given.offset, time=given.time, actor=author, key=request.key, digest="d",
        seq=given.seq, text='"type":"message_deleted","seq":1', meta={"type": "message_deleted", "seq": 1},
    )  # fmt: skip
    await room.commit(request, given, event=event.to_json())
    (edit,) = await room.number(room.of_message("edit", 1, actor=author))
    assert isinstance(edit, Numbers)


async def test_a_reaction_that_is_there_is_not_added_again(redis: RedisLink) -> None:
    """The event that added it is told; the key remembers even when the reaction is gone."""
    room, author = await talk(redis)
    added = await room.happen(room.of_message("react", 1, emoji="👍"), reacted(room, 1, "👍"))
    again = room.of_message("react", 1, emoji="👍")
    other, foreign = room.of_message("react", 1, emoji="👎"), room.of_message("react", 1, emoji="👍", actor=author)
    outcomes = await room.number(again, again, other, foreign)
    assert outcomes[:2] == [Unchanged(added.offset, added.time)] * 2
    assert [type(outcome) for outcome in outcomes[2:]] == [Numbers, Numbers]


async def test_who_reacts_too_often_to_one_message_is_refused(redis: RedisLink) -> None:
    """106: what is taken back leaves a mark in Cassandra. To another message, and as another user, one may."""
    room, author = await talk(redis)
    await room.send(author)
    many = [room.of_message("unreact", 1, emoji=str(number)) for number in range(REACTIONS)]
    assert all(isinstance(outcome, Numbers) for outcome in await room.number(*many))
    changes: tuple[Operation, ...] = ("react", "unreact")
    outcomes = await room.number(
        *(room.of_message(change, 1, emoji="🎉") for change in changes),
        room.of_message("react", 2, emoji="🎉"),
        room.of_message("react", 1, emoji="🎉", actor=author),
    )
    assert outcomes[:2] == [Refused(ErrorCode.LIMIT_EXCEEDED)] * 2
    assert [type(outcome) for outcome in outcomes[2:]] == [Numbers] * 2


async def test_who_is_muted_may_only_take_back(redis: RedisLink) -> None:
    """No edit, no reaction; but a deletion, and the end of a reaction."""
    room, author = await talk(redis)
    await room.add(author, member(muted_until=now() + 60_000))
    outcomes = await room.number(*(room.of_message(change, 1, actor=author) for change in CHANGES))
    muted = Refused(ErrorCode.MUTED)
    assert [outcome == muted for outcome in outcomes] == [True, False, True, False]


async def test_a_message_answers_one_that_is_there(redis: RedisLink) -> None:
    """401 for another."""
    room, _ = await talk(redis)
    good, none, ahead = await room.number(*(room.request(asks=(seq,)) for seq in (1, 0, 9)))
    assert isinstance(good, Numbers)
    assert none == ahead == Refused(ErrorCode.MESSAGE_NOT_FOUND)


async def test_a_room_that_keeps_messages_for_days_says_until_when(redis: RedisLink) -> None:
    """The same for its repeat."""
    room = Room(redis)
    await room.seed(epoch=1, retention_days="2")
    request = room.request()
    first, again = await room.number(request, request)
    assert isinstance(first, Numbers)
    assert isinstance(again, Numbers)
    assert first.expires == again.expires == first.time + 2 * 86_400_000


async def test_the_next_reaction_to_a_popular_message_costs_little(redis: RedisLink) -> None:
    """Redis does nothing else meanwhile: five hundred others' reactions are looked through, and not decoded."""
    room, _ = await talk(redis)
    others = [reacted(room, 1, "👍").model_copy(update={"actor": new_user()}).to_json() for _ in range(500)]
    await redis.execute(lambda pipe, _: pipe.rpush(redis_keys.recent(room.id), *others))
    asked = [room.of_message("react", 1, found=json.dumps({"author": room.owner}), emoji="🎉") for _ in range(100)]
    took: list[float] = []
    for one in asked:
        started = time.monotonic()
        assert isinstance((await room.number(one))[0], Numbers)
        took.append(time.monotonic() - started)
    print(f"{statistics.median(took) * 1000:.2f} ms each, {min(took) * 1000:.2f} at best")
    assert min(took) < 0.002  # the work is the same each time; what is more of it is others' work

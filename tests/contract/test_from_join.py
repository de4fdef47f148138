"""A room that begins at joining: what was said before is nowhere to be had, also when some of it has expired."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
import redis.asyncio

from pulsar_data import redis_keys
from pulsar_data.deliveries import HistoryRead
from pulsar_data.model import RoomId
from pulsar_data.queries import OpenRoom, Position, ReadHistory
from tests.contract.conftest import House
from tests.contract.test_resume import change
from tests.cql import statements

pytestmark = [pytest.mark.stack, pytest.mark.anyio]


async def history(house: House, room: str, person: int) -> list[tuple[str, int | None]]:
    """What the log shows somebody: types, with the messages that they are about."""
    answer = await house.ask(ReadHistory, person=person, room=room, limit=50)
    assert isinstance(answer, HistoryRead)
    return [(event.type, getattr(event, "seq", None)) for event in answer.publications]


async def forget(house: House, room: str, seq: int) -> None:
    """As if a message had expired, and Redis' memory of it was over."""
    await house.functions.until_idle()
    async with redis.asyncio.Redis.from_url(house.stack.redis.url) as memory:
        await memory.ltrim(redis_keys.recent(RoomId(room)), -1, -1)
    place = house.stack.cassandra

    def delete() -> None:
        with statements(place) as execute:
            execute(
                f"DELETE FROM {place.keyspace}.messages WHERE room_id = {UUID(room)} AND bucket = 0 AND seq = {seq}"
            )

    await asyncio.to_thread(delete)


async def test_where_the_last_message_before_has_expired_the_log_begins_at_joining(house: House) -> None:
    """Its place in the log is not known any more; that of the joining is."""
    room = await house.room(grace=False, history="from_join")
    await house.say(room, "secret one", "secret two")
    await change(house, "member.add", room=room, user=house.users[1])
    await house.say(room, "no secret")
    await forget(house, room, 2)
    assert await history(house, room, person=1) == [("member_joined", None), ("message_sent", 3)]


async def test_who_has_not_joined_a_channel_sees_none_of_its_log(house: House) -> None:
    """Where it begins at joining."""
    room = await house.room(grace=False, kind="channel", history="from_join")
    await house.say(room, "secret one", "secret two")
    await forget(house, room, 2)
    assert await history(house, room, person=1) == []


async def test_an_edit_of_an_older_message_is_not_in_the_log_of_who_came_later(house: House) -> None:
    """Nor a reaction to it; and what cannot be recovered without them is not."""
    room = await house.room(grace=False, history="from_join")
    await house.say(room, "secret one")
    await change(house, "member.add", room=room, user=house.users[1])
    await house.say(room, "no secret")
    head = (await house.rpc("message.list", {"room": room}, person=1))["head"]
    await change(house, "message.edit", room=room, seq=1, text="another secret")
    await change(house, "reaction.add", room=room, seq=1, emoji="👍")
    assert await history(house, room, person=1) == [("member_joined", None), ("message_sent", 2)]
    assert ("message_edited", 1) in await history(house, room, person=0)
    position = Position(epoch=head["epoch"], offset=head["offset"])
    answer = await house.ask(OpenRoom, person=1, room=room, token=1, position=position)
    assert not answer.room.recovered  # type: ignore[union-attr]


async def test_what_became_of_older_messages_is_not_recovered_from_a_position_before_joining(house: House) -> None:
    """Reactions, and that something was deleted: they have no text, and are about what was said before."""
    room = await house.room(grace=False, history="from_join")
    await house.say(room, "secret one", "secret two")
    head = (await house.rpc("message.list", {"room": room}))["head"]
    await change(house, "reaction.add", room=room, seq=1, emoji="👍")
    await change(house, "message.delete", room=room, seq=2)
    await change(house, "member.add", room=room, user=house.users[1])
    position = Position(epoch=head["epoch"], offset=head["offset"])
    for person, recovered in ((0, True), (1, False)):
        answer = await house.ask(OpenRoom, person=person, room=room, token=1, position=position)
        assert answer.room.recovered is recovered  # type: ignore[union-attr]
        assert bool(answer.room.publications) is recovered  # type: ignore[union-attr]
    head = (await house.rpc("room.get", {"room": room}, person=1))["head"]
    await change(house, "reaction.add", room=room, seq=1, emoji="👎")
    position = Position(epoch=head["epoch"], offset=head["offset"])
    answer = await house.ask(OpenRoom, person=1, room=room, token=1, position=position)
    assert answer.room.recovered, "who is there hears of it, too"  # type: ignore[union-attr]


async def test_a_page_of_history_is_empty_only_at_the_end(house: House) -> None:
    """However much lies between that the reader may not see: there is nothing to go on from in an empty one."""
    room = await house.room(grace=False, history="from_join")
    await house.say(room, "secret")
    await change(house, "member.add", room=room, user=house.users[1])
    head = (await house.rpc("room.get", {"room": room}, person=1))["head"]
    for number in range(30):
        await change(house, "reaction.add", room=room, seq=1, emoji=str(number))
    await house.say(room, "one", "two", "three")
    position = Position(epoch=head["epoch"], offset=head["offset"])
    for asked in ({"since": position}, {}, {"reverse": True}):
        answer = await house.ask(ReadHistory, person=1, room=room, limit=2, **asked)
        assert isinstance(answer, HistoryRead), answer
        seqs = [event.seq for event in answer.publications if event.type == "message_sent"]
        assert seqs == {"since": [2, 3], "reverse": [4, 3]}.get(next(iter(asked), ""), [2]), asked

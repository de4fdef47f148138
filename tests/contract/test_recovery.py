"""Coming back to a room: all that was missed, in order, or nothing and the client is told to reload."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from pulsar_data.deliveries import HistoryRead, OpenedRoom, Reply, RoomOpened, SessionOpened
from pulsar_data.errors import ErrorCode
from pulsar_data.model import RoomId
from pulsar_data.queries import OpenRoom, OpenSession, Position, ReadHistory
from tests.contract.conftest import House
from tests.cql import statements
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]

LONG = 530
"""Messages, more than Redis keeps."""


async def opened(house: House, room: str, epoch: str, offset: int) -> OpenedRoom:
    """The room as a subscribe with this position opens it."""
    position = Position(epoch=epoch, offset=offset)
    answer = await house.ask(OpenRoom, room=room, token=1, position=position)
    assert isinstance(answer, RoomOpened), answer
    return answer.room


async def history(house: House, room: str, **asked: Any) -> HistoryRead:
    """A page of the room's history."""
    answer = await house.ask(ReadHistory, room=room, **asked)
    assert isinstance(answer, HistoryRead), answer
    return answer


def offsets(read: OpenedRoom | HistoryRead) -> Sequence[int]:
    """Of its publications."""
    return [event.offset for event in read.publications]


async def forget_log(stack: Stack, room: str, last: int) -> None:
    """As if the events up to that offset had passed their time in the log."""
    await asyncio.to_thread(_forget_log, stack, room, last)


def _forget_log(stack: Stack, room: str, last: int) -> None:
    place = stack.cassandra
    with statements(place) as execute:
        where = f"room_id = {UUID(room)} AND bucket = 0 AND offset <= {last}"
        execute(f"DELETE FROM {place.keyspace}.room_log WHERE {where}")


async def test_a_client_gets_all_it_missed_or_is_told(house: House) -> None:
    """From Redis what it keeps, beyond that from the log, with the newest not stored yet; never a part."""
    room = await house.room()
    await house.say(room, *(str(number) for number in range(LONG)))
    head = LONG + 1
    epoch = (await house.rpc("message.list", {"room": room, "limit": 1}))["head"]["epoch"]

    for offset in (head, head - 1, head - 500, head - 501, 1, 0):
        back = await opened(house, room, epoch, offset)
        assert (back.was_recovering, back.recovered, back.offset) == (True, True, head), offset
        assert offsets(back) == list(range(offset + 1, head + 1))

    for bad_epoch, offset in ((epoch, head + 1), ("1", head - 1), ("", 0)):
        back = await opened(house, room, bad_epoch, offset)
        assert (back.was_recovering, back.recovered, back.publications) == (True, False, ())

    await house.functions.until_idle()
    await forget_log(house.stack, room, 10)
    assert offsets(await opened(house, room, epoch, 10)) == list(range(11, head + 1))
    back = await opened(house, room, epoch, 9)
    assert (back.was_recovering, back.recovered, back.publications) == (True, False, ())

    await forget_log(house.stack, room, head - 490)
    assert (await opened(house, room, epoch, head - 500)).recovered
    assert not (await opened(house, room, epoch, head - 510)).recovered


async def test_what_is_too_much_for_one_answer_is_not_recovered(house: House) -> None:
    """The bytes of all rooms together are bounded: the room with the newest messages comes first, the other reloads."""
    house_rooms = [await house.room(), await house.room()]
    for room in house_rooms:
        await house.say(room, *["x" * 3900] * 150)
    epochs = [(await house.rpc("message.list", {"room": room, "limit": 1}))["head"]["epoch"] for room in house_rooms]
    positions = {RoomId(room): Position(epoch=epoch, offset=1) for room, epoch in zip(house_rooms, epochs, strict=True)}
    person = house.people[0]
    claims = _claims(person.token)
    answer = await house.ask(OpenSession, session=claims["sid"], version=claims["ver"], token=1, positions=positions)
    assert isinstance(answer, SessionOpened), answer
    recovered = {room.summary.room: (room.recovered, len(room.publications)) for room in answer.rooms}
    assert recovered == {house_rooms[0]: (False, 0), house_rooms[1]: (True, 150)}


async def test_history_goes_both_ways_as_far_as_the_log_is_kept(house: House) -> None:
    """`limit` 0 is the position; `since` excluded; 112 for another epoch, or for what is not kept any more."""
    room = await house.room()
    await house.say(room, *(str(number) for number in range(1, 10)))
    place = await history(house, room)
    assert (place.offset, place.publications) == (10, ())
    at = {"epoch": str(place.epoch)}
    for asked, expected in (
        ({"limit": 3}, [1, 2, 3]),
        ({"limit": 3, "reverse": True}, [10, 9, 8]),
        ({"limit": 3, "since": {**at, "offset": 4}}, [5, 6, 7]),
        ({"limit": 9, "since": {**at, "offset": 7}}, [8, 9, 10]),
        ({"limit": 9, "since": {**at, "offset": 10}}, []),
        ({"limit": 3, "since": {**at, "offset": 4}, "reverse": True}, [3, 2, 1]),
    ):
        assert offsets(await history(house, room, **asked)) == expected, asked
    for since in ({"epoch": "1", "offset": 4}, {**at, "offset": 11}):
        answer = await house.ask(ReadHistory, room=room, limit=3, since=since)
        assert isinstance(answer, Reply)
        assert answer.error is not None
        assert answer.error.code == ErrorCode.UNRECOVERABLE_POSITION


def _claims(token: str) -> dict[str, Any]:
    import jwt

    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims

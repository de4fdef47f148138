"""Who may call what: every method of the socket, by everybody that there is to a room. One table, tested whole.

A cell is the error code with which the method is refused, 0 where it is done. A new method has no row, and fails.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from typing import Any

import pytest

from pulsar_data.errors import ErrorCode
from pulsar_data.ids import direct_room
from pulsar_data.model import UserId
from pulsar_data.rpc import METHODS
from tests.clients.device import Device
from tests.clients.socket import ErrorReply

from .house import HOUR, House, now, outcome

pytestmark = [pytest.mark.stack, pytest.mark.anyio, pytest.mark.timeout(180, func_only=True)]

ROOMS, TIMES, ROUNDS = 150, 60, 6
"""Rooms of somebody who asks for those of others, how often, and how often that at most."""
ROLES = ("owner", "moderator", "member", "muted", "banned", "left", "stranger")
GROUP: Mapping[str, tuple[int, int, int, int, int, int, int]] = {
    # the message is the owner's; whoever is acted upon is a plain member
    "message.send": (0, 0, 0, 405, 406, 403, 403),
    "message.edit": (0, 103, 103, 103, 406, 403, 403),
    "message.list": (0, 0, 0, 0, 403, 403, 403),
    "message.search": (0, 0, 0, 0, 403, 403, 403),
    "message.read": (0, 0, 0, 0, 403, 403, 403),
    "reaction.add": (0, 0, 0, 405, 406, 403, 403),
    "reaction.remove": (0, 0, 0, 0, 406, 403, 403),
    "message.delete": (0, 0, 103, 103, 406, 403, 403),
    "room.create": (0, 0, 0, 0, 0, 0, 0),
    "room.list": (0, 0, 0, 0, 0, 0, 0),
    "room.get": (0, 0, 0, 0, 403, 403, 403),
    "room.update": (0, 0, 103, 103, 406, 403, 403),
    "room.join": (103, 103, 103, 103, 103, 103, 103),  # a group is entered by invitation
    "member.list": (0, 0, 0, 0, 403, 403, 403),
    "member.add": (0, 0, 103, 103, 406, 403, 403),
    "member.role": (0, 103, 103, 103, 406, 403, 403),
    "member.mute": (0, 0, 103, 103, 406, 403, 403),
    "member.ban": (0, 0, 103, 103, 406, 403, 403),
    "member.remove": (0, 0, 103, 103, 406, 403, 403),
    "user.get": (0, 0, 0, 0, 0, 0, 0),
    "user.find": (0, 0, 0, 0, 0, 0, 0),
    "room.leave": (407, 0, 0, 0, 406, 403, 403),  # the last owner stays; last, as then nothing else is left to try
}
CHANNEL: Mapping[str, tuple[int, int]] = {
    # a stranger, somebody who is banned: anybody may read in a channel and enter it
    "message.list": (0, 403),
    "message.search": (0, 403),
    "member.list": (0, 403),
    "room.get": (0, 403),
    "message.read": (403, 403),
    "message.send": (403, 406),
    "reaction.add": (403, 406),
    "room.update": (403, 406),
    "member.add": (403, 406),
    "member.remove": (403, 406),
    "room.join": (0, 406),
}


REQUESTS: Mapping[str, tuple[int, int, int, int, int, int, int]] = {
    # the channel of a group, by whom the group is to; a member is subscribed to it from the first moment
    "subscribe": (105, 105, 105, 105, 103, 103, 103),
    "history": (0, 0, 0, 0, 403, 403, 403),
    "presence": (0, 0, 0, 0, 103, 103, 103),
    "presence_stats": (0, 0, 0, 0, 103, 103, 103),
}


def test_the_table_has_every_method() -> None:
    """Whoever adds one says who may call it."""
    assert set(GROUP) == set(METHODS)


@pytest.mark.parametrize("role", ROLES)
async def test_everybody_may_do_in_a_group_what_the_table_says(house: House, role: str) -> None:
    """All methods, in the table's order."""
    room = await house.room(role)
    actor = house.owner if role == "owner" else house.actor
    column = ROLES.index(role)
    wanted = {method: codes[column] for method, codes in GROUP.items()}
    assert {method: await outcome(actor, method, house.call(method, room)) for method in GROUP} == wanted


@pytest.mark.parametrize("role", ["stranger", "banned"])
async def test_a_channel_is_open_to_all_but_who_is_banned(house: House, role: str) -> None:
    """To read and to enter; not to speak before that."""
    room = await house.room(role, "channel")
    wanted = {method: codes[role == "banned"] for method, codes in CHANNEL.items()}
    assert {method: await outcome(house.actor, method, house.call(method, room)) for method in CHANNEL} == wanted


@pytest.mark.parametrize("role", ROLES)
async def test_everybody_hears_and_sees_of_a_group_what_the_table_says(house: House, role: str) -> None:
    """The protocol's own requests, on the channel of a room that shows who is there."""
    room = await house.room(role)
    await house.owner.call("room.update", room=room, presence=True)
    actor = house.owner if role == "owner" else house.actor
    if role in ("moderator", "member", "muted"):
        await actor.entered(room)
    elif role == "banned":
        await actor.put_out(room)
    column = ROLES.index(role)
    found = {request: await _asked(actor, request, f"room:{room}") for request in REQUESTS}
    assert found == {request: codes[column] for request, codes in REQUESTS.items()}


async def test_the_channel_of_two_others_is_as_if_it_were_not_there(house: House) -> None:
    """That of somebody else's own, too, and one that is no channel at all."""
    ada, grace, lin = house.owner, house.victims[0], house.victims[1]
    talk = str((await ada.call("room.create", kind="direct", members=[grace.user]))["room"])
    silence = direct_room(UserId(ada.user), UserId(lin.user))
    for request in REQUESTS:
        answers = [await _asked(house.actor, request, f"room:{room}") for room in (talk, silence)]
        assert len(set(answers)) == 1, f"{request}: {answers}"
        assert answers[0] in (ErrorCode.PERMISSION_DENIED, ErrorCode.ROOM_NOT_FOUND), f"{request}: {answers}"
        for channel in (f"user:{ada.user}", "nobody knows"):
            assert await _asked(house.actor, request, channel) in (
                ErrorCode.PERMISSION_DENIED, ErrorCode.UNKNOWN_CHANNEL, ErrorCode.NOT_AVAILABLE,
            ), f"{request} {channel}"  # fmt: skip


async def _asked(device: Device, request: str, channel: str) -> int:
    """0, or the code with which it is refused for good."""
    async with asyncio.timeout(30):
        while True:
            try:
                await device.ask(request, channel=channel)
            except ErrorReply as refused:
                if not refused.temporary:
                    return refused.code
                await asyncio.sleep(0.2)
            else:
                return 0


async def test_whether_two_people_talk_is_nobody_elses_business(house: House) -> None:
    """The id of a direct room can be worked out from theirs: for a third it is as if they had never talked."""
    ada, grace, lin = house.owner, house.victims[0], house.victims[1]
    talk = str((await ada.call("room.create", kind="direct", members=[grace.user]))["room"])
    await ada.call("message.send", room=talk, text="hello")
    silence = direct_room(UserId(ada.user), UserId(lin.user))
    asked = [method for method in GROUP if "room" in house.call(method, talk)]
    for method in asked:
        answers = [await outcome(house.actor, method, house.call(method, room)) for room in (talk, silence)]
        assert answers == [ErrorCode.ROOM_NOT_FOUND] * 2, f"{method}: {answers}"


@pytest.mark.quiet
@pytest.mark.parametrize("method", ["message.list", "room.get", "member.list"])
async def test_a_read_takes_as_long_for_a_direct_room_of_others_as_for_one_that_is_not_there(
    house: House, method: str
) -> None:
    """However many rooms of their own somebody has, whom a difference would tell who talks with whom."""
    ada, grace, lin = house.owner, house.victims[0], house.victims[1]
    talk = str((await ada.call("room.create", kind="direct", members=[grace.user]))["room"])
    await ada.call("message.send", room=talk, text="hello")
    silence = str(direct_room(UserId(ada.user), UserId(lin.user)))
    for number in range(ROOMS):
        await house.actor.call("room.create", kind="group", name=f"room {number}")
    times: dict[str, list[float]] = {talk: [], silence: []}
    for _ in range(ROUNDS):  # of more and more answers: noise becomes less, a difference would stay
        await _ask_by_turns(house.actor, method, times)
        medians = [statistics.median(taken) for taken in times.values()]
        if max(medians) - min(medians) < 0.1 * min(medians):
            return
    pytest.fail(f"ms for one that exists, and for one that does not: {medians}")


async def _ask_by_turns(device: Device, method: str, times: Mapping[str, list[float]]) -> None:
    """Adds the ms of each answer."""
    for _ in range(TIMES):
        for room, taken in times.items():
            began = time.perf_counter()
            assert await outcome(device, method, {"room": room}) == ErrorCode.ROOM_NOT_FOUND
            taken.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(0.02)  # within what a user may ask


async def test_a_direct_room_has_two_members_for_ever(house: House) -> None:
    """Neither adds, removes, bans or leaves."""
    other = house.actor.user
    room = str((await house.owner.call("room.create", kind="direct", members=[other]))["room"])
    acts: Mapping[str, Mapping[str, Any]] = {
        "member.add": {"user": house.outsider.user},
        "member.remove": {"user": other},
        "member.role": {"user": other, "role": "moderator"},
        "member.mute": {"user": other, "until": now() + HOUR},
        "member.ban": {"user": other, "banned": True},
        "room.leave": {},
    }
    for method, data in acts.items():
        assert await outcome(house.owner, method, {"room": room, **data}) == ErrorCode.PERMISSION_DENIED, method

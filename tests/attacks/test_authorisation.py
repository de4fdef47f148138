"""Who may call what: every method of the socket, by everybody that there is to a room. One table, tested whole.

A cell is the error code with which the method is refused, 0 where it is done. A new method has no row, and fails.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from pulsar_data.errors import ErrorCode
from pulsar_data.ids import direct_room
from pulsar_data.model import UserId
from pulsar_data.rpc import METHODS
from tests.clients.device import Device, devices
from tests.clients.people import Person, sign_up
from tests.clients.socket import ErrorReply
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio, pytest.mark.timeout(180, func_only=True)]

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
HOUR = 3_600_000
"""Milliseconds."""


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


@dataclass
class House:
    """An owner, somebody with another part in the room, members who are acted upon, and two who are outside."""

    owner: Device
    actor: Device
    victims: list[Person]
    outsider: Person
    names: Mapping[str, str]

    async def room(self, role: str, kind: str = "group") -> str:
        """A room of the owner's in which the actor has this part, and the owner has said something."""
        names = [victim.user for victim in self.victims]
        room = str((await self.owner.call("room.create", kind=kind, name="Matrix", members=names))["room"])
        await self.owner.call("message.send", room=room, text="hello")
        who = {"room": room, "user": self.actor.user}
        if role not in ("owner", "stranger"):
            await self.owner.call("member.add", **who)
        match role:
            case "moderator":
                await self.owner.call("member.role", role="moderator", **who)
            case "muted":
                await self.owner.call("member.mute", until=now() + HOUR, **who)
            case "banned":
                await self.owner.call("member.ban", banned=True, **who)
            case "left":
                await self.actor.call("room.leave", room=room)
        return room

    def call(self, method: str, room: str) -> Mapping[str, Any]:
        """Data with which the method does something in this room. Each acts upon somebody of its own."""
        add, role, mute, ban, remove = (victim.user for victim in self.victims)
        of_it = {"room": room, "seq": 1}
        calls: Mapping[str, Mapping[str, Any]] = {
            "message.send": {"room": room, "text": "mine"},
            "message.edit": {**of_it, "text": "changed"},
            "message.list": {"room": room},
            "message.search": {"room": room, "query": "hello"},
            "message.read": of_it,
            "message.delete": of_it,
            "reaction.add": {**of_it, "emoji": "+1"},
            "reaction.remove": {**of_it, "emoji": "+1"},
            "room.create": {"kind": "group", "name": "Mine", "members": [add]},
            "room.list": {},
            "room.get": {"room": room},
            "room.update": {"room": room, "topic": "another"},
            "room.join": {"room": room},
            "room.leave": {"room": room},
            "member.list": {"room": room},
            "member.add": {"room": room, "user": self.outsider.user},
            "member.role": {"room": room, "user": role, "role": "moderator"},
            "member.mute": {"room": room, "user": mute, "until": now() + HOUR},
            "member.ban": {"room": room, "user": ban, "banned": True},
            "member.remove": {"room": room, "user": remove},
            "user.get": {"user": self.owner.user},
            "user.find": {"username": self.names[self.owner.user]},
        }
        return calls[method]


@pytest.fixture
async def house(stack: Stack) -> AsyncIterator[House]:
    """New people; the owner and the actor on different gateways."""
    async with AsyncExitStack() as open_things:
        owner, actor, outsider, *victims = await sign_up(stack.auth, 8)
        homes = (owner, stack.gateways[0]), (actor, stack.gateways[-1])
        first, second = await open_things.enter_async_context(devices(*homes))
        found = await first.call("user.get", user=owner.user)
        yield House(first, second, victims, outsider, {owner.user: str(found["username"])})


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


async def outcome(device: Device, method: str, data: Mapping[str, Any]) -> int:
    """0, or the code with which it is refused."""
    try:
        await device.call(method, **data)
    except ErrorReply as refused:
        return refused.code
    return 0


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

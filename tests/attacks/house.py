"""A room, whoever there is to it, and every call that can be made in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.clients.device import Device
from tests.clients.people import Person
from tests.clients.socket import ErrorReply

HOUR = 3_600_000
"""Milliseconds."""


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

"""Whether a limit is in force: asked of both gateways, in rooms that all instances of chat-router have."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.clients.device import Device
from tests.clients.people import Person
from tests.clients.socket import ErrorReply
from tests.clients.waiting import until
from tests.gateway.client import Wire

IN_FORCE = 10.0
"""Seconds until a change must be in force everywhere."""
ROOMS = 8
"""So many that each instance of chat-router has some."""


class Talk:
    """Ada on the first gateway and Grace on the second, in rooms that both instances of chat-router have."""

    def __init__(self, ada: Device, grace: Device, rooms: list[str]) -> None:
        self.places = [(device, room) for device in (ada, grace) for room in rooms]

    async def say(self, length: int) -> set[int]:
        """Say something of that length everywhere: the codes with which it was refused, 0 if it was not."""
        return set(await asyncio.gather(*(_code(device, room, length) for device, room in self.places)))

    async def until_all(self, length: int, code: int, within: float = IN_FORCE) -> None:
        """Until it is so with a message of that length everywhere."""

        async def is_so() -> bool:
            return await self.say(length) == {code}

        await until(f"a message of {length} characters is answered with {code} everywhere", is_so, within, every=0.05)


async def _code(device: Device, room: str, length: int) -> int:
    try:
        await device.call("message.send", room=room, text="x" * length)
    except ErrorReply as error:
        return error.code
    return 0


async def closed_with(gateway: str, person: Person, code: int | None) -> bool:
    """Whether one more connection is closed with that code, or, for None, is not closed."""
    while True:
        async with Wire.open(gateway) as wire:
            (reply,) = await wire.send({"connect": {"token": person.token}})
            await _answered(wire, reply)
            if wire.over:
                return wire.socket.close_code == code
            if not reply.result().get("error", {}).get("temporary"):
                return code is None
        await asyncio.sleep(0.2)


async def _answered(wire: Wire, reply: asyncio.Future[Any]) -> None:
    await wire.until(lambda: wire.over or reply.done())

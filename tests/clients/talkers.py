"""Clients that run for the length of a test, without a crowd around them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pulsar_data.ids import new_key
from tests.clients.chat_client import ChatClient
from tests.clients.journal import Journal
from tests.clients.people import Person

IN_WITHIN = 60.0
"""Seconds to be connected, and in one's rooms."""


def fresh_key() -> str:
    """A key that nobody has used."""
    return new_key(time.time_ns() // 1_000_000)


@asynccontextmanager
async def connected(*devices: tuple[Person, str]) -> AsyncIterator[Sequence[ChatClient]]:
    """A client for each device: whose, and on which gateway. They come back there whenever they are closed."""
    clients = [
        ChatClient([gateway], person, Journal(f"client {number}", person.user), random.Random(number))
        for number, (person, gateway) in enumerate(devices)
    ]
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(client.run()) for client in clients]
        async with asyncio.timeout(IN_WITHIN):
            for client in clients:
                await client.in_rooms([])
        yield clients
        for run in runs:
            run.cancel()


async def make_room(clients: Sequence[ChatClient], *members: Person) -> str:
    """A new group, made by the first client. Returns when all of the clients are in it."""
    wanted = {"key": fresh_key(), "kind": "group", "name": "Test", "members": [person.user for person in members]}
    room = str((await clients[0].rpc("room.create", wanted))["room"])
    async with asyncio.timeout(IN_WITHIN):
        for client in clients:
            await client.in_rooms([room])
    return room

"""Many clients whose gateway is killed: the measurement's own clients, few of them, on the tests' stack."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from chattifier.layout import Layout
from tests.gateway.client import session
from tests.gateway.people import key
from tests.gateway.separate import separate
from tests.load import crowd, reconnect, returners
from tests.load.returners import Returner
from tests.load.sockets import Seat
from tests.load.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
CLIENTS, MEMBERS = 60, 20


@pytest.fixture
def anyio_backend() -> str:
    """The clients run on asyncio."""
    return "asyncio"


async def test_all_clients_of_a_killed_gateway_come_back_whole(stack: Any, tmp_path: Path) -> None:
    """On other gateways, recovered, with what was said meanwhile once; Cassandra is not read for each of them."""
    measured = Stack(Layout(stack.data))
    people = await asyncio.to_thread(crowd.people, measured, CLIENTS)
    rooms = await asyncio.to_thread(crowd.rooms, measured, people, MEMBERS)
    async with separate(stack, Layout(stack.data).jwks) as doomed:
        everybody = [Returner(Seat(doomed.url, person.token), room.id) for room in rooms for person in room.members]
        sockets = await returners.seated(everybody)
        before = await asyncio.to_thread(reconnect.reads, measured)
        back = asyncio.create_task(returners.returned(everybody, sockets, stack.gateways, 60.0))
        os.kill(doomed.pid, signal.SIGKILL)
        for room in rooms:
            async with session(stack.gateways[0], room.members[0].token, data={"server_subs": False}) as (wire, _):
                await wire.rpc("message.send", {"room": room.id, "key": key(), "text": "where are you?"})
        found = await back
        after = await asyncio.to_thread(reconnect.reads, measured)
    assert (len(found.seconds), found.recovered, found.whole) == (CLIENTS, CLIENTS, CLIENTS)
    of_clients = ("users_by_id", "sessions_by_user", "rooms_by_user", "room_log", "messages")
    assert {table: after[table] - before[table] for table in of_clients} == dict.fromkeys(of_clients, 0)

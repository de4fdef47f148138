"""Sockets through the edge."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from threading import Event

import pytest
import websockets
from websockets.exceptions import InvalidStatus

from tests.clients.waiting import until
from tests.gateway.client import Wire, session
from tests.gateway.people import Person, key, make_room, sign_up
from tests.running_stack import Stack
from tests.stack.eventually import eventually

from .conftest import ORIGIN, visit

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
SHUTDOWN = 3001
DRAINED = 8.0
"""Seconds within which a gateway that drains has sent everybody away: the closes are spread over three."""


@pytest.fixture
def address(stack: Stack) -> str:
    """Where sockets go."""
    return stack.report.entrance[1]


async def test_two_people_talk_through_the_one_port(stack: Stack, address: str) -> None:
    ada, grace = await asyncio.gather(*(asyncio.to_thread(sign_up, stack.edge) for _ in range(2)))
    async with session(address, ada.token) as (hers, _), session(address, grace.token) as (his, _):
        room = await make_room(hers, grace)
        await hers.rpc("message.send", {"room": room, "key": key(), "text": "through the edge"})
        await his.until(lambda: [event for event in his.events(room) if event.get("text") == "through the edge"])


async def test_the_form_that_a_client_asks_for_reaches_the_gateway(address: str) -> None:
    """Protobuf, say: JSON would not take these bytes for a message."""
    offered = [websockets.Subprotocol("centrifuge-protobuf")]
    async with websockets.connect(address, subprotocols=offered, proxy=None) as socket:
        assert socket.subprotocol == "centrifuge-protobuf"
        await socket.send(b"\x07\x08\x01\x22\x03\x0a\x01x")  # Command {id 1, connect {token "x"}}
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 3500


async def test_a_page_of_another_origin_gets_no_socket_and_our_own_does(stack: Stack, address: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await websockets.connect(address, origin=websockets.Origin(ORIGIN), proxy=None)
    assert refused.value.response.status_code == 403
    async with websockets.connect(address, origin=websockets.Origin(stack.edge), proxy=None) as socket:
        await socket.send('{"id":1,"connect":{"token":"none"}}')
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 3500


async def test_while_one_address_floods_the_door_others_open_sockets(stack: Stack, address: str) -> None:
    """It is refused by then, and goes on."""
    person = await asyncio.to_thread(sign_up, stack.edge)

    async def visit_once() -> None:
        async with session(address, person.token):
            pass

    async with _flooding(stack):
        await asyncio.gather(*(visit_once() for _ in range(20)))


@asynccontextmanager
async def _flooding(stack: Stack) -> AsyncIterator[None]:
    """Handshakes that are none, from another address than ours. Enters when that is refused."""
    refused, enough = Event(), Event()
    flood = asyncio.create_task(asyncio.to_thread(_flood, stack, refused, enough))
    try:
        assert await asyncio.to_thread(refused.wait, 60), "nobody stops it"
        yield
    finally:
        enough.set()
        await flood


def _flood(stack: Stack, refused: Event, enough: Event) -> None:
    with visit(stack) as visitor:
        while not enough.is_set():
            if visitor.get("/connection/websocket").status_code == 429:
                refused.set()


async def test_new_sockets_are_spread_and_when_a_gateway_drains_its_own_get_in_at_the_other_at_once(
    stack: Stack, address: str
) -> None:
    person = await asyncio.to_thread(sign_up, stack.edge)
    (draining,) = stack.pids("gateway-1")
    async with AsyncExitStack() as sockets:
        await until("both gateways take sockets", lambda: _both(address, person), 30)
        opened = [await sockets.enter_async_context(session(address, person.token)) for _ in range(8)]
        assert len({welcome["node"] for _, welcome in opened}) == 2
        os.kill(draining, signal.SIGTERM)
        back = [node for node in await asyncio.gather(*(_back(wire, address, person) for wire, _ in opened)) if node]
        assert 0 < len(back) < len(opened)
        gone = {welcome["node"] for wire, welcome in opened if wire.socket.close_code is not None}
        assert len(gone) == 1, "only those of the gateway that drains are sent away"
        assert not gone & set(back)
    assert await asyncio.to_thread(eventually, lambda: _is_back(stack, draining), 60)


async def _both(address: str, person: Person) -> bool:
    """Whether two of four sockets are at different ones: not while one has just said that it is not ready."""
    async with AsyncExitStack() as sockets:
        opened = [await sockets.enter_async_context(session(address, person.token)) for _ in range(4)]
        return len({welcome["node"] for _, welcome in opened}) == 2


async def _back(wire: Wire, address: str, person: Person) -> str | None:
    """Which gateway takes the client in that was asked to come back; None if it was not asked."""
    try:
        async with asyncio.timeout(DRAINED):
            assert await wire.closed() == SHUTDOWN
    except TimeoutError:
        return None
    async with session(address, person.token) as (_, welcome):
        return str(welcome["node"])


def _is_back(stack: Stack, before: int) -> bool:
    part = stack.parts["gateway-1"]
    return part.state == "ready" and part.pid not in (None, before)

"""A Redis that is nearly full: nothing new is said, and everything else goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import redis.asyncio

from pulsar_data.errors import ErrorCode
from tests.clients.talkers import fresh_key
from tests.clients.waiting import until
from tests.contract.conftest import House
from tests.gateway.client import session

pytestmark = [pytest.mark.stack, pytest.mark.anyio, pytest.mark.quiet]


@asynccontextmanager
async def nearly_full(url: str) -> AsyncIterator[None]:
    """So much that a twentieth is left."""
    async with redis.asyncio.Redis.from_url(url) as memory:
        used = int((await memory.info("memory"))["used_memory"])
        await memory.config_set("maxmemory", round(used * 1.05))
        try:
            yield
        finally:
            await memory.config_set("maxmemory", 0)


async def test_nothing_new_is_said_and_everything_else_goes_on(house: House) -> None:
    """A send is refused for the moment, a repeat answered, pages read, sockets opened, gateways ready."""
    room = await house.room()
    said = {"room": room, "key": fresh_key(), "text": "before"}
    first = await house.rpc("message.send", said)

    async def is_refused() -> bool:
        reply = await house.wires[0].ask(rpc={"method": "message.send", "data": _fresh(room)})
        if "error" not in reply:
            return False
        assert (reply["error"]["code"], reply["error"]["temporary"]) == (ErrorCode.INTERNAL, True)
        return True

    async with nearly_full(house.stack.redis.url):
        await until("nothing new is said", is_refused, 15)
        assert await house.rpc("message.send", said) == {**first, "duplicate": True}
        assert (await house.rpc("message.list", {"room": room}))["messages"][0]["text"] == "before"
        async with session(house.stack.gateways[0], house.people[0].token) as (_, connected):
            assert f"room:{room}" in connected["subs"]
        async with httpx.AsyncClient(trust_env=False) as http:
            for gateway in house.stack.gateways:
                base = gateway.replace("ws://", "http://").removesuffix("/connection/websocket")
                assert (await http.get(f"{base}/readyz")).status_code == 200
    last = await house.rpc("message.send", _fresh(room))
    assert last["offset"] > first["offset"]


def _fresh(room: str) -> dict[str, str]:
    return {"room": room, "key": fresh_key(), "text": "something"}

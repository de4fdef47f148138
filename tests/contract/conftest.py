"""Two people who are connected, and a way straight to the functions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.people import Person, sign_up
from tests.contract.asking import Answer, Asker, asking, new_room, sends
from tests.faults.functions import Functions
from tests.gateway.client import Json, Wire, session
from tests.running_stack import Stack


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


@dataclass
class House:
    """Ada on the first gateway and Grace on the second; `asker` is a gateway without sockets."""

    stack: Stack
    people: Sequence[Person]
    wires: Sequence[Wire]
    asker: Asker
    functions: Functions

    @property
    def users(self) -> Sequence[str]:
        """Their ids."""
        return [person.user for person in self.people]

    async def room(self, *, grace: bool = True, **facts: Any) -> str:
        """A new room of Ada's, with Grace if wanted."""
        ada, other = self.users
        wanted = new_room(self.asker, ada, *([other] if grace else []), **facts)
        await asyncio.to_thread(self.asker.command_all, [wanted])
        return wanted.room

    async def say(self, room: str, *texts: str, person: int = 0) -> None:
        """Say something; acked when this returns."""
        await asyncio.to_thread(self.asker.command_all, sends(self.asker, room, self.users[person], texts))

    async def ask(self, kind: type[Any], person: int = 0, **fields: Any) -> Answer:
        """A query straight to archive."""
        return await asyncio.to_thread(self.asker.ask, kind, self.users[person], **fields)

    async def rpc(self, method: str, data: Json, person: int = 0) -> Json:
        """A call over the socket, again as long as it fails for the moment only."""
        async with asyncio.timeout(60):
            while True:
                reply = await self.wires[person].ask(rpc={"method": method, "data": data})
                if not reply.get("error", {}).get("temporary"):
                    break
                await asyncio.sleep(0.2)
        assert "rpc" in reply, reply
        result: Json = reply["rpc"]["data"]
        return result

    async def refusal(self, method: str, data: Json, person: int = 0) -> int:
        """The code with which a call is refused."""
        return await self.wires[person].refused(rpc={"method": method, "data": data})


@pytest.fixture
async def house(stack: Stack, anyio_backend: str) -> AsyncIterator[House]:
    """Fresh people."""
    async with AsyncExitStack() as opened:
        functions = Functions(stack)
        opened.push_async_callback(functions.close)
        people = await sign_up(stack.auth, 2)
        wires = [
            (await opened.enter_async_context(session(gateway, person.token)))[0]
            for person, gateway in zip(people, stack.gateways, strict=True)
        ]
        yield House(stack, people, wires, await opened.enter_async_context(asking(stack)), functions)

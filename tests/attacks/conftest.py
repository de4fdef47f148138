"""What every attack is judged by: nobody else notices, no part logs a traceback, and each input is written down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.clients import people
from tests.clients.device import devices
from tests.gateway.client import session
from tests.gateway.people import Person, sign_up
from tests.log_lines import tells_of_a_defect
from tests.running_stack import Stack

from .house import House

Noted = Callable[[str, object], None]


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


@pytest.fixture
def noted(record_property: Callable[[str, object], None]) -> Noted:
    """Write down an input and what it was answered with, for the table of `scripts/attacks`."""

    def note(what: str, answer: object) -> None:
        record_property("attack", f"{what}\t{answer}")

    return note


@pytest.fixture
def quiet_logs(stack: Stack) -> Iterator[None]:
    """No part of ours has logged an exception meanwhile."""
    before = _sizes(stack)
    yield
    for path, size in _sizes(stack).items():
        for line in _written(path, before.get(path, 0), size).splitlines():
            assert not tells_of_a_defect(line), f"{path.name}: {line[:1000]!r}"


def _sizes(stack: Stack) -> Mapping[Path, int]:
    ours = [*(stack.data / "logs").glob("gateway-*.log"), *(stack.data / "logs").glob("auth.log")]
    ours += (stack.data / "logs" / "functions").rglob("*.log")
    return {path: path.stat().st_size for path in ours}


def _written(path: Path, begin: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(begin if begin <= end else 0)  # it may have been started anew
        return file.read()


@pytest.fixture(scope="module")
def calm(stack: Stack) -> Person:
    """Somebody who does nothing wrong. Their token is good for a quarter of an hour."""
    return sign_up(stack.auth)


@pytest.fixture
async def unharmed(stack: Stack, calm: Person, quiet_logs: None) -> AsyncIterator[None]:
    """Somebody else's sockets, one on each gateway, are open and answered behind the attack as before it."""
    async with AsyncExitStack() as sockets:
        wires = [(await sockets.enter_async_context(session(url, calm.token)))[0] for url in stack.gateways]
        yield
        for wire in wires:
            assert not wire.over
            assert (await wire.ask(ping={}))["ping"] == {}
            assert "rooms" in await wire.rpc("room.list")


@pytest.fixture
async def house(stack: Stack, unharmed: None) -> AsyncIterator[House]:
    """New people; the owner and the actor on different gateways. Nobody else is harmed by what they do."""
    async with AsyncExitStack() as open_things:
        owner, actor, outsider, *victims = await people.sign_up(stack.auth, 8)
        homes = (owner, stack.gateways[0]), (actor, stack.gateways[-1])
        first, second = await open_things.enter_async_context(devices(*homes))
        found = await first.call("user.get", user=owner.user)
        yield House(first, second, victims, outsider, {owner.user: str(found["username"])})

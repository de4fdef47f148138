"""Without an exporter: traces are handed on by the parts of the stack, and nothing else is done about them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pulsar
import pytest

from pulsar_data import topics
from pulsar_data.deliveries import Delivery, Publication
from pulsar_data.traces import ITEM, PROPERTY, unvouched
from tests.clients.people import Person
from tests.clients.talkers import fresh_key
from tests.gateway.client import session
from tests.running_stack import Stack
from tests.traces.conftest import fresh_traceparent

ROOT = Path(__file__).parents[2]
WITHIN = 15_000
NOTHING = (
    # A gateway, a function of each class and user-auth, made as their entry points make them.
    """
    import asyncio, os
    from socket_gateway import __main__, server
    from socket_gateway.gateway import Gateway
    from socket_gateway.settings import Settings
    async def make(): Gateway(Settings.of({"CHATTIFIER_JWKS_FILE": "/nowhere"}))
    asyncio.run(make())
    """,
    """
    from chattifier import function_process
    from chat_functions import instance, main
    function_process._import_modestly()
    for function, module in instance.HANDLERS.items():
        instance._import_modestly(module)
        from chat_functions.traces import traces
        traces(function, {}, "name", "0")
    """,
    """
    import sys
    sys.path.insert(0, "functions/user-auth")
    import main
    from user_auth.errors import Unavailable
    memory = main.app.parts(main.settings).memory
    try: memory.knows_place("anywhere")
    except Unavailable: pass  # nobody listens: what counts is that it has imported what it asks with
    assert "redis" in sys.modules
    """,
)


@pytest.mark.parametrize("program", NOTHING, ids=["gateway", "functions", "user-auth"])
def test_nothing_of_opentelemetry_is_imported(program: str) -> None:
    lines = [line.removeprefix("    ") for line in program.strip("\n").splitlines()]
    looks = "import sys; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, looks])],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


class Listener:
    """Everything that is published to a topic from now on."""

    def __init__(self, client: pulsar.Client, topic: str) -> None:
        self._reader = client.create_reader(topic, pulsar.MessageId.latest)

    async def first(self, payload: bytes) -> pulsar.Message:
        """The first message that holds these bytes."""
        while True:
            message = await asyncio.to_thread(self._reader.read_next, WITHIN)
            if payload in message.data():
                return message


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[pulsar.Client]:
    """A client of the stack's Pulsar."""
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    yield client
    client.close()


@pytest.mark.stack
@pytest.mark.anyio
async def test_a_clients_trace_reaches_events_and_deliveries_unvouched(
    stack: Stack, client: pulsar.Client, people: tuple[Person, Person]
) -> None:
    """So whoever records further on may see it, but no client decides that they do."""
    ada, _ = people
    events = Listener(client, topics.EVENTS)
    async with session(stack.gateways[0], ada.token) as (one, welcome):
        made = await one.rpc("room.create", {"key": fresh_key(), "kind": "group", "name": "traces"})
        deliveries = Listener(client, topics.gateway(welcome["node"]))
        key, parent = fresh_key(), fresh_traceparent()
        call = {"room": made["room"], "key": key, "text": "hello"}
        sent = await one.rpc("message.send", {**call, "traceparent": parent})
        event = await events.first(key.encode())
        delivery = await deliveries.first(key.encode())
        # It is no part of what was asked: the same key with another one is the same again.
        again = await one.rpc("message.send", {**call, "traceparent": fresh_traceparent()})
        await one.heard(made["room"], 1)
    assert event.properties()[PROPERTY] == unvouched(parent)
    assert again == sent | {"duplicate": True}
    items = Delivery.from_json(delivery.data()).items
    (place,) = [place for place, item in enumerate(items) if isinstance(item, Publication) and item.event.key == key]
    assert delivery.properties() == {f"{ITEM}{place}": unvouched(parent)}
    assert b"traceparent" not in b"".join([event.data(), delivery.data()])
    assert "traceparent" not in str(one.pushes)


@pytest.mark.stack
@pytest.mark.anyio
@pytest.mark.parametrize("nothing", [{}, {"traceparent": "00-of-no-form-01"}, {"traceparent": ["00"]}], ids=str)
async def test_what_is_no_trace_is_no_error_and_goes_nowhere(
    stack: Stack, client: pulsar.Client, people: tuple[Person, Person], nothing: dict[str, object]
) -> None:
    ada, _ = people
    events = Listener(client, topics.EVENTS)
    async with session(stack.gateways[0], ada.token) as (one, _):
        made = await one.rpc("room.create", {"key": fresh_key(), "kind": "group", "name": "traces"})
        key = fresh_key()
        await one.rpc("message.send", {"room": made["room"], "key": key, "text": "hello", **nothing})
        assert (await events.first(key.encode())).properties() == {}

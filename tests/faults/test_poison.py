"""Messages that can never succeed, among those of rooms that talk: buried with a reason, once, and nobody waits.

Of a defect of ours, one that is found by dying of it, everybody waits, but not for ever, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pulsar
import pytest
from pulsar.schema import BytesSchema

from chat_functions.batching import DEADLY
from chat_functions.event_schema import EventSchema
from chat_functions.work import NOBODY
from chattifier.dead_letters import opened
from chattifier.pulsar_client import Broker
from pulsar_data import topics
from pulsar_data.commands import SendMessage
from pulsar_data.model import RoomId, UserId
from tests.clients.device import Device
from tests.clients.people import sign_up
from tests.clients.talkers import fresh_key
from tests.clients.waiting import until
from tests.faults.conftest import Trial, times
from tests.faults.crowd import Crowd
from tests.faults.functions import INPUTS, Functions
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.quiet, pytest.mark.anyio, pytest.mark.timeout(1200, func_only=True)]
WITHIN = 1.0
"""Seconds from the moment a message was meant to be sent until every member has it."""
BURIED_WITHIN = 30.0
MOST_DEATHS = 8
"""Each instance once in company, three of it alone, and some in between, before it is known what they die of."""
DEATHS = "4"
LARGE = 4_900_000
"""Bytes; a broker takes 5 MiB."""


async def test_poison_costs_nobody_anything(stack: Stack, functions: Functions, trial: Trial) -> None:
    """On every input, in rooms that talk: in the dead-letter topic once each; no instance has died of it."""
    poisons = [poison for _ in range(times(1)) for poison in _poisons()]
    before = [await functions.restarts(function) for function in INPUTS]

    async def poisoned(crowd: Crowd) -> None:
        with _broker(stack) as client:
            graves = {name: client.create_reader(topics.dead_letters(name), pulsar.MessageId.latest) for name in INPUTS}
            for poison, room in zip(poisons, crowd.rooms * len(poisons), strict=False):
                for topic in INPUTS.values():
                    await asyncio.to_thread(_send, client, topic, room, poison)
                await asyncio.sleep(0.3)
            found = {function: await _until_all_lie_in(grave, function, poisons) for function, grave in graves.items()}
            await asyncio.sleep(2.0)
            for function, grave in graves.items():
                await _take(grave, poisons, found[function])
                assert set(found[function].values()) == {1}, f"{function} buried something twice"

    await trial("poison on every input", len(poisons) * len(INPUTS), poisoned, WITHIN)
    assert [await functions.restarts(function) for function in INPUTS] == before


async def test_a_command_of_which_chat_router_dies_is_buried_and_can_be_replayed(
    stack: Stack, functions: Functions, trial: Trial
) -> None:
    """Its instances die of it a few times, and go on without it. Mended, they have what it said."""
    function = "chat-router"
    deadly, key, (ada,) = f"deadly {secrets.token_hex(8)}", fresh_key(), await sign_up(stack.auth, 1)
    async with Device.connected(ada, stack.gateways[0]) as device:
        room = (await device.call("room.create", kind="group", name="deadly", members=[]))["room"]
        async with functions.settings(function, {"breaks_on": key}):

            async def strikes(crowd: Crowd) -> None:
                await asyncio.sleep(2.0)
                with _broker(stack) as client:
                    command = SendMessage(room=RoomId(room), actor=UserId(ada.user), key=key, sender=NOBODY,
                                          text=deadly)  # fmt: skip
                    await asyncio.to_thread(_send, client, topics.COMMANDS, room, command.to_json())
                await until("it is buried", lambda: asyncio.to_thread(_lies, stack, function, deadly), BURIED_WITHIN)
                assert 0 < await functions.restarts(function) <= MOST_DEATHS
                await functions.until_all_consume(function)
                await crowd.until_settled()
                await crowd.until_all_talk(30)
                await device.call("message.send", room=room, text="behind it")

            await trial(f"{function} dies of a message", 1, strikes)
        await asyncio.to_thread(_replay, stack, function, deadly)

        async def is_there() -> bool:
            page = await device.call("message.list", room=room, limit=10)
            return sorted(message["text"] for message in page["messages"]) == ["behind it", deadly]

        await until("what it said is in the room", is_there, 30)


def _lies(stack: Stack, function: str, text: str) -> bool:
    """Whether it is a dead letter, as one of which the function died more than once."""
    with opened(Broker(stack.pulsar.service_url), function) as box:
        found = [letter for letter in box.letters() if text.encode() in letter.payload]
    assert all(letter.reason == DEADLY and letter.attempts == DEATHS for letter in found), found
    return len(found) == 1


def _replay(stack: Stack, function: str, text: str) -> None:
    with opened(Broker(stack.pulsar.service_url), function) as box:
        (letter,) = (letter for letter in box.letters() if text.encode() in letter.payload)
        box.replay(letter)


def _poisons() -> list[bytes]:
    """No two are the same. They say `poison` somewhere: other tests have dead letters of their own."""
    mark = b"poison " + os.urandom(8).hex().encode()
    return [
        b"\xff\x00 not JSON, " + mark,
        b'["a list", "%s"]' % mark,
        b'{"type":"message_sent","of":"no schema","%s":1}' % mark,
        b'{"type":"of_tomorrow","version":2,"%s":1}' % mark,
        b'{"type":"message_sent","text":"%s%s"}' % (mark, b"x" * LARGE),
    ]


@contextmanager
def _broker(stack: Stack) -> Iterator[pulsar.Client]:
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    try:
        yield client
    finally:
        client.close()


def _send(client: pulsar.Client, topic: str, room: str, poison: bytes) -> None:
    schema = EventSchema() if topic == topics.EVENTS else BytesSchema()
    producer = client.create_producer(topic, schema=schema)
    producer.send(poison, partition_key=room)
    producer.close()


async def _until_all_lie_in(grave: pulsar.Reader, function: str, poisons: Sequence[bytes]) -> Counter[bytes]:
    """How often each was found: all of them once at least."""
    found: Counter[bytes] = Counter()

    async def all_do() -> bool:
        await _take(grave, poisons, found)
        return len(found) >= len(set(poisons))

    await until(f"all poison of {function} is in its dead letters", all_do, BURIED_WITHIN)
    return found


async def _take(grave: pulsar.Reader, poisons: Sequence[bytes], found: Counter[bytes]) -> None:
    """Count what has come; each with a reason that tells nothing of what it holds."""
    while await asyncio.to_thread(grave.has_message_available):
        letter = await asyncio.to_thread(grave.read_next, 10_000)
        if letter.data() in poisons:
            found[letter.data()] += 1
            reason = letter.properties()["reason"]
            assert reason.startswith("not "), reason
            assert "poison" not in reason

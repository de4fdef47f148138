"""A gateway of the tests' own: what clients may not do so many times, or not yet, goes straight to the functions."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pulsar

from pulsar_data import topics
from pulsar_data.commands import Command, CreateRoom, RebuildRoom, Sender, SendMessage
from pulsar_data.deliveries import Delivery, HistoryRead, Item, Reply, RoomOpened, SessionOpened
from pulsar_data.ids import created_room, new_key
from pulsar_data.model import RoomId, UserId
from pulsar_data.queries import Query
from tests.running_stack import Stack

Answer = Reply | SessionOpened | RoomOpened | HistoryRead
PATIENCE = 60.0
"""Seconds for an answer; a temporary error is asked again."""


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Asker:
    """Publishes commands and queries, and takes their answers. Blocks; see `asking`."""

    def __init__(self, client: pulsar.Client) -> None:
        self.gateway = f"gw-test-{secrets.token_hex(6)}"
        self._numbers = itertools.count(1)
        self._answers: dict[int, Answer] = {}
        self._deliveries = client.subscribe(topics.gateway(self.gateway), "test")
        self._commands = client.create_producer(topics.COMMANDS, batching_type=pulsar.BatchingType.KeyBased)
        self._queries = client.create_producer(topics.QUERIES)

    def sender(self) -> Sender:
        """A fresh return address."""
        return Sender(gateway=self.gateway, client="test", request=next(self._numbers))

    def command_all(self, commands: Sequence[Command]) -> list[Reply]:
        """Publish changes in order; their answers, all of which must be good."""
        replies = self.answers_to(commands)
        assert all(reply.error is None for reply in replies), replies
        return replies

    def answers_to(self, commands: Sequence[Command]) -> list[Reply]:
        """Publish changes in order; their answers, whatever they are."""
        for command in commands:
            self._commands.send_async(command.to_json(), _ignore, partition_key=command.room)
        self._commands.flush()
        wanted = [
            command.sender.request for command in commands if not isinstance(command, RebuildRoom) and command.sender
        ]
        answers = [self._await(number) for number in wanted]
        assert all(isinstance(answer, Reply) for answer in answers), answers
        return [answer for answer in answers if isinstance(answer, Reply)]

    def ask(self, kind: type[Any], user: str, **fields: Any) -> Answer:
        """Ask a query as somebody, again as long as the answer is a temporary error."""
        deadline = time.monotonic() + PATIENCE
        while True:
            number = next(self._numbers)
            query: Query = kind(gateway=self.gateway, request=number, user=user, deadline=now() + 10_000, **fields)
            self._queries.send(query.to_json(), partition_key=user)
            answer = self._await(number)
            if not (isinstance(answer, Reply) and answer.error and answer.error.temporary):
                return answer
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)

    def _await(self, number: int) -> Answer:
        deadline = time.monotonic() + PATIENCE
        while number not in self._answers:
            left = deadline - time.monotonic()
            assert left > 0, f"no answer to request {number}"
            message = self._deliveries.receive(timeout_millis=int(left * 1000) + 1)
            self._deliveries.acknowledge(message)
            self._answers.update(_answers(Delivery.from_json(message.data()).items))
        return self._answers.pop(number)


def _answers(items: Sequence[Item]) -> dict[int, Answer]:
    return {item.request: item for item in items if isinstance(item, (Reply, SessionOpened, RoomOpened, HistoryRead))}


def _ignore(_result: object, _message_id: object) -> None:
    """The answer tells."""


@asynccontextmanager
async def asking(stack: Stack) -> AsyncIterator[Asker]:
    """An asker for the time of a test. Its calls block: use asyncio.to_thread where sockets are open."""
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    try:
        yield await asyncio.to_thread(Asker, client)
    finally:
        await asyncio.to_thread(client.close)


def new_room(asker: Asker, creator: str, *members: str, kind: str = "group", **facts: Any) -> CreateRoom:
    """The wish for a fresh room."""
    key = new_key(now())
    return CreateRoom.model_validate(
        {
            "room": created_room(UserId(creator), key), "actor": creator, "key": key, "kind": kind, "name": "Test",
            "members": members, "sender": asker.sender().to_dict(), **facts,
        }
    )  # fmt: skip


def sends(asker: Asker, room: str, actor: str, texts: Sequence[str]) -> list[SendMessage]:
    """Messages to be said one after the other."""
    return [
        SendMessage(room=RoomId(room), actor=UserId(actor), key=new_key(now()), sender=asker.sender(), text=text)
        for text in texts
    ]

"""A hundred clients in ten rooms over all gateways, and the load that they make."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from pulsar_data.ids import new_key
from tests.canary import CANARY
from tests.clients.chat_client import ChatClient
from tests.clients.journal import Acked, Attempted, Journal, Refused
from tests.clients.people import Person, sign_up
from tests.clients.waiting import until
from tests.faults.judge import Finding, StoredRoom
from tests.running_stack import Stack

ROOMS = 10
MEMBERS = 10
"""Members of each room; each is in one room only."""
RATE = 100
"""Sends a second, of all together."""
ARRIVE_WITHIN = 90.0
HEARD_WITHIN = 20.0
"""Seconds until everybody has everything that is stored, once nothing is sent any more."""


class Doors(Protocol):
    """Where people come in: a stack, or the edge of a cluster."""

    @property
    def auth(self) -> str:
        """http://host:port where they sign up."""

    @property
    def gateways(self) -> Sequence[str]:
        """ws:// addresses."""


@dataclass(frozen=True)
class Entrance:
    """Other doors than all of a stack's."""

    auth: str
    gateways: tuple[str, ...]

    @classmethod
    def by_edge(cls, stack: Stack) -> Entrance:
        """People come in by the edge, which chooses a gateway. They sign up behind it, without its limits."""
        return cls(stack.auth, (f"{stack.edge.replace('http', 'ws', 1)}/connection/websocket",))


@dataclass(frozen=True)
class Crowd:
    """The clients, and the room of each, in the same order. Neighbours are in different rooms.

    `waited`: who asked something and had no answer in time; the judge does not know of it.
    """

    clients: Sequence[ChatClient]
    homes: Sequence[str]
    waited: list[Finding] = field(default_factory=list)

    @property
    def journals(self) -> list[Journal]:
        """What everybody did and saw."""
        return [client.journal for client in self.clients]

    @property
    def rooms(self) -> list[str]:
        """All rooms."""
        return list(dict.fromkeys(self.homes))

    @property
    def longest_absence(self) -> float:
        """Seconds between the end of somebody's connection and their next, at most; 0 if nobody lost it."""
        return max((seconds for journal in self.journals for seconds in journal.absences()), default=0.0)

    @asynccontextmanager
    async def talking(self, *, again: bool = True) -> AsyncIterator[None]:
        """RATE sends a second, from everybody in turn, at times fixed beforehand. Ends when all are answered.

        `again`: who gets no ack sends again under the same key.
        """
        async with asyncio.TaskGroup() as sends:
            talk = sends.create_task(self._talk(sends, again=again))
            yield
            talk.cancel()

    async def _talk(self, sends: asyncio.TaskGroup, *, again: bool) -> None:
        started = time.monotonic()
        turns = itertools.cycle(zip(self.clients, self.homes, strict=True))
        for number, (client, room) in enumerate(turns):
            due = started + number / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            sends.create_task(client.send(room, f"message {number} {CANARY}", at=due, again=again))

    async def until_settled(self) -> None:
        """Wait until everybody is connected and has caught up with what it missed."""

        async def all_are() -> bool:
            return all(client.settled for client in self.clients)

        await until("everybody has come back", all_are, ARRIVE_WITHIN)

    async def until_all_came_again(self, before: Sequence[int], within: float) -> None:
        """Wait until everybody was let in once more than `arrivals` was before: a gateway closes a crowd by and by."""

        async def all_have() -> bool:
            return all(client.arrivals > times for client, times in zip(self.clients, before, strict=True))

        await until("everybody was let in again", all_have, within)

    async def until_answered(self, within: float) -> None:
        """Wait until all that has been said is acked: who was kept waiting has had their turn."""
        asked = {entry.key for journal in self.journals for entry in journal.of(Attempted)}

        async def all_are() -> bool:
            answered = {entry.key for journal in self.journals for entry in journal.entries
                        if isinstance(entry, (Acked, Refused))}  # fmt: skip
            return asked <= answered

        await until("all that was said is acked", all_are, within, every=0.5)

    async def until_all_talk(self, within: float) -> None:
        """Wait until something new has come in every room."""
        seats = [(self.clients[number].feeds[room], self.clients[number].feeds[room].seq)
                 for number, room in enumerate(self.rooms)]  # fmt: skip

        async def all_do() -> bool:
            return all(feed.seq > before for feed, before in seats)

        await until("there is talk in every room", all_do, within)

    async def until_heard(self, stored: Mapping[str, StoredRoom]) -> None:
        """Wait until everybody is at the end of its room, or for a while: what is missing is for the judge to say."""
        ends = {room: max((row.seq for row in of_room.messages), default=0) for room, of_room in stored.items()}

        async def all_are() -> bool:
            seats = zip(self.clients, self.homes, strict=True)
            return all(client.feeds[room].seq >= ends.get(room, 0) for client, room in seats)

        with suppress(AssertionError):
            await until("everybody is at the end of its room", all_are, HEARD_WITHIN)


@asynccontextmanager
async def gathered(doors: Doors, chance: random.Random, rooms: int = ROOMS) -> AsyncIterator[Crowd]:
    """New people in new rooms, connected over all gateways by turns. They leave at the end."""
    people = await sign_up(doors.auth, rooms * MEMBERS)
    clients = [_client(number, person, doors.gateways, chance) for number, person in enumerate(people)]
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(client.run()) for client in clients[:rooms]]
        async with asyncio.timeout(ARRIVE_WITHIN):
            owned = [await _found(client, people[number::rooms]) for number, client in enumerate(clients[:rooms])]
            runs += [tasks.create_task(client.run()) for client in clients[rooms:]]
            homes = [owned[number % rooms] for number in range(len(clients))]
            for client, room in zip(clients, homes, strict=True):
                await client.in_rooms([room])
        yield Crowd(clients, homes)
        for run in runs:
            run.cancel()


def _client(number: int, person: Person, gateways: Sequence[str], chance: random.Random) -> ChatClient:
    journal = Journal(f"client {number}", person.user)
    by_turns = [gateways[(number + turn) % len(gateways)] for turn in range(len(gateways))]
    return ChatClient(by_turns, person, journal, chance)


async def _found(owner: ChatClient, people: Sequence[Person]) -> str:
    """A room of these people, the first of whom makes it."""
    key = new_key(time.time_ns() // 1_000_000)
    members = [person.user for person in people[1:]]
    made = await owner.rpc("room.create", {"key": key, "kind": "group", "name": "Faults", "members": members})
    return str(made["room"])

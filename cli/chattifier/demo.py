"""The demo: two people sign up through the edge, meet in a room from two gateways, and their words are in Cassandra."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import httpx
from centrifuge import CentrifugeError, Client, ClientEventHandler, ReplyError
from centrifuge.contexts import DisconnectedContext, ServerPublicationContext, ServerSubscribedContext

from chattifier.errors import DemoFailed
from chattifier.schema import CassandraAddress, session
from chattifier.status import Report
from pulsar_data.ids import new_key

WAIT = 60.0
"""Seconds for any one thing to happen: far more than it takes, but a machine may be busy with something else."""
TALK = (
    ("ada", "Hello Grace! Does this reach you?"),
    ("grace", "It does. Every message has a number, and is stored."),
    ("ada", "In the same order for both of us?"),
    ("grace", "In the same order for everybody."),
)
Say = Callable[[str], None]


@dataclass
class Person:
    """A person with one open socket. `heard` are the messages pushed to it, in order of arrival."""

    name: str
    user_id: str
    socket: str
    client: Client
    rooms: set[str] = field(default_factory=set)
    heard: list[Mapping[str, Any]] = field(default_factory=list)
    closed: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def rpc(self, method: str, data: Mapping[str, object]) -> Mapping[str, Any]:
        """Call a method, again while the answer is "not now": its key makes that safe. Raises DemoFailed if refused."""
        deadline = time.monotonic() + WAIT
        while True:
            try:
                answer: Mapping[str, Any] = (await self.client.rpc(method, dict(data), timeout=WAIT)).data
            except CentrifugeError as error:
                temporary = isinstance(error, ReplyError) and error.temporary
                if not temporary or time.monotonic() > deadline:
                    raise DemoFailed(f"{self.name}'s {method} failed: {error}") from error
            else:
                return answer

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait for a condition on what was pushed. Raises DemoFailed when it takes too long."""
        deadline = asyncio.get_running_loop().time() + WAIT
        while not condition():
            self.changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self.changed.wait()
            except TimeoutError:
                reason = f" (its socket was closed: {self.closed})" if self.closed else ""
                raise DemoFailed(f"{self.name} waited {WAIT:.0f} s in vain for {what}{reason}.") from None


class Ears(ClientEventHandler):
    """Writes down what is pushed to a person."""

    def __init__(self) -> None:
        """Give it a person before connecting."""
        self.person: Person | None = None

    async def on_subscribed(self, ctx: ServerSubscribedContext) -> None:
        """The person is in a room now."""
        if self.person is not None:
            self.person.rooms.add(ctx.channel)
            self.person.changed.set()

    async def on_publication(self, ctx: ServerPublicationContext) -> None:
        """Something happened in a room."""
        if self.person is not None and ctx.pub.data.get("type") == "message_sent":
            self.person.heard.append(ctx.pub.data)
            self.person.changed.set()

    async def on_disconnected(self, ctx: DisconnectedContext) -> None:
        """The socket was closed for good."""
        if self.person is not None:
            self.person.closed = f"{ctx.code} {ctx.reason}"
            self.person.changed.set()


@dataclass(frozen=True)
class Row:
    """A message as it lies in Cassandra."""

    seq: int
    sender: str
    text: str


async def run(stack: Report, say: Say) -> Sequence[Row]:
    """Play it. Returns the stored rows in order. Raises DemoFailed if anything is not as it should be."""
    async with AsyncExitStack() as sockets:
        door, _ = stack.entrance
        ada = await _arrive("ada", door, stack.gateways[0], sockets)
        grace = await _arrive("grace", door, stack.gateways[-1], sockets)
        people = {"ada": ada, "grace": grace}
        for person in people.values():
            say(f"{person.name} signed up, and is connected to {person.socket}")
        room = await _meet(ada, grace)
        say(f"ada made room {room} and took grace in")
        await _talk(people, room, say)
        _compare(ada, grace)
    return await asyncio.to_thread(_stored, stack, room, {person.user_id: person.name for person in people.values()})


async def _arrive(name: str, auth: str, socket: str, sockets: AsyncExitStack) -> Person:
    """Sign up, log in, connect."""
    username, password = f"{name}-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    async with httpx.AsyncClient(base_url=auth, timeout=WAIT, trust_env=False) as http:
        await _post(http, "/user/register", {"username": username, "password": password, "display_name": name.title()})
        login = await _post(http, "/user/login", {"username": username, "password": password})
    ears = Ears()
    client = Client(socket, events=ears, token=str(login["access_token"]), timeout=WAIT, proxy=None)
    person = ears.person = Person(name, str(login["user_id"]), socket, client)
    sockets.push_async_callback(client.disconnect)
    await client.connect()
    try:
        await client.ready(timeout=WAIT)
    except CentrifugeError as error:
        raise DemoFailed(f"{name} could not connect to {socket}: {person.closed or error}") from error
    return person


async def _post(http: httpx.AsyncClient, path: str, body: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        response = await http.post(path, json=body)
    except httpx.HTTPError as error:
        raise DemoFailed(
            f"The auth function does not answer at {http.base_url}: {error or type(error).__name__}"
        ) from error
    if not response.is_success:
        raise DemoFailed(f"The auth function answered {response.status_code} to {path}: {response.text[:200]}")
    answer: Mapping[str, Any] = response.json()
    return answer


async def _meet(host: Person, guest: Person) -> str:
    """A room with both in it, and both subscribed to it."""
    request = {"key": _key(), "kind": "group", "name": "Demo", "members": [guest.user_id]}
    room = str((await host.rpc("room.create", request))["room"])
    for person in (host, guest):
        await person.until("the subscription to the new room", partial(_is_in, person, room))
    return room


async def _talk(people: Mapping[str, Person], room: str, say: Say) -> None:
    """Say every line; everybody hears it before the next."""
    for number, (name, text) in enumerate(TALK, start=1):
        started = time.perf_counter()
        ack = await people[name].rpc("message.send", {"room": room, "key": _key(), "text": text})
        if ack["seq"] != number:
            raise DemoFailed(f"Message {number} was acknowledged as {dict(ack)}.")
        for person in people.values():
            await person.until(f"message {number}", partial(_has_heard, person, number))
        say(f"{number} {name}: {text} [dim]{(time.perf_counter() - started) * 1000:.0f} ms[/]")


def _is_in(person: Person, room: str) -> bool:
    return f"room:{room}" in person.rooms


def _has_heard(person: Person, number: int) -> bool:
    return len(person.heard) >= number


def _compare(one: Person, other: Person) -> None:
    expected = [(number, text) for number, (_, text) in enumerate(TALK, start=1)]
    for person in (one, other):
        heard = [(event["seq"], event["text"]) for event in person.heard]
        if heard != expected:
            raise DemoFailed(
                f"{person.name} heard messages {[seq for seq, _ in heard]}, not the {len(TALK)} that were said."
            )


def _stored(stack: Report, room: str, names: Mapping[str, str]) -> list[Row]:
    """The rows of the room's messages, once all are there. Raises DemoFailed if they differ from what was said."""
    address = CassandraAddress(((stack.cassandra.host, stack.cassandra.port),), stack.cassandra.keyspace)
    query = f"SELECT seq, sender, text FROM {address.keyspace}.messages WHERE room_id = {UUID(room)} AND bucket = 0"
    deadline = time.monotonic() + WAIT
    with session(address) as execute:
        while True:
            rows = [Row(row.seq, names.get(str(row.sender), "?"), row.text) for row in execute(query)]
            if len(rows) >= len(TALK) or time.monotonic() > deadline:
                break
            time.sleep(0.1)
    rows.sort(key=lambda row: row.seq)
    if [(row.sender, row.text) for row in rows] != list(TALK):
        raise DemoFailed(
            f"Cassandra has {len(rows)} of the {len(TALK)} messages, or has them otherwise than they were said."
        )
    return rows


def _key() -> str:
    return new_key(time.time_ns() // 1_000_000)

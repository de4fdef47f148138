"""How fast one instance works a backlog off: chat-router, message-store, and a pass-through function beside them."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pulsar

from pulsar_data import topics
from pulsar_data.model import RoomId
from tests.load import backlog, comparison, crowd, instances
from tests.load.backlog import Drain
from tests.load.comparison import PassThrough
from tests.load.crowd import Room
from tests.load.errors import LoadFailed
from tests.load.instances import Held
from tests.load.stack import Stack

ROUTER, STORE, INDEX = "chat/core/chat-router", "chat/core/message-store", "chat/core/search-index"
ROOMS, MEMBERS = 50, 20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Drains:
    """Of every round, by function."""

    commands: int
    cold: dict[str, Drain] = field(default_factory=dict)
    """Of a round before the others, in which the JVMs of the stack still compile."""
    router: list[Drain] = field(default_factory=list)
    store: list[Drain] = field(default_factory=list)
    pass_through: list[Drain] = field(default_factory=list)

    def add(self, number: int, router: Drain, store: Drain, passed: Drain) -> None:
        """A round; number 0 is the cold one."""
        if number == 0:
            self.cold.update({"chat-router": router, "message-store": store, "pass-through": passed})
            return
        self.router.append(router)
        self.store.append(store)
        self.pass_through.append(passed)

    @property
    def ratio(self) -> float:
        """chat-router to pass-through: the median of the rounds' own ratios."""
        return statistics.median(
            ours.rate / naive.rate for ours, naive in zip(self.router, self.pass_through, strict=True)
        )


def median_rate(drains: Sequence[Drain]) -> float:
    """Messages per second."""
    return statistics.median(drain.rate for drain in drains)


def median_cost(drains: Sequence[Drain]) -> float:
    """Microseconds of CPU per message."""
    return statistics.median(drain.cost for drain in drains)


def measure(stack: Stack, commands: int, rounds: int, say: Say) -> Drains:
    """One round to warm up, then rounds of all three, one after the other, so that what disturbs one disturbs all."""
    drains = Drains(commands)
    run = secrets.token_hex(4)
    rooms = crowd.rooms(stack, crowd.people(stack, ROOMS * MEMBERS), MEMBERS)
    say(f"{ROOMS} rooms of {MEMBERS} are there")
    with crowd.client(stack) as client, comparison.deployed(stack, run) as naive, instances.held(stack, INDEX):
        for number in range(rounds + 1):
            payloads = [(one.room, one.to_json()) for one in backlog.commands(rooms, commands, f"load-{run}")]
            router, store = _ours(stack, client, rooms, payloads)
            passed = _naive(stack, client, naive, payloads)
            drains.add(number, router, store, passed)
            say(f"round {number}: {_line('router', router)}, {_line('store', store)}, {_line('pass-through', passed)}")
    return drains


def _line(name: str, drain: Drain) -> str:
    return f"{name} {drain.rate:,.0f}/s ({drain.cost:.0f} µs CPU)"


def _ours(
    stack: Stack, client: pulsar.Client, rooms: Sequence[Room], payloads: Sequence[tuple[str, bytes]]
) -> tuple[Drain, Drain]:
    """The router works the commands off; then the store works off what that has left in `events`."""
    with instances.held(stack, STORE) as store:
        with instances.held(stack, ROUTER) as router:
            drained = _router(stack, client, router, payloads)
        return drained, _store(stack, store, [room.id for room in rooms], len(payloads))


def _router(stack: Stack, client: pulsar.Client, router: Held, payloads: Sequence[tuple[str, bytes]]) -> Drain:
    backlog.publish(client, topics.COMMANDS, payloads)
    return _between(stack, client, router, (topics.COMMANDS, "chat-router"), topics.EVENTS, payloads)


def _naive(stack: Stack, client: pulsar.Client, naive: PassThrough, payloads: Sequence[tuple[str, bytes]]) -> Drain:
    with instances.held(stack, naive.path) as function:
        backlog.publish(client, naive.source, payloads)
        return _between(stack, client, function, (naive.source, "pass-through"), naive.target, payloads)


def _between(
    stack: Stack,
    client: pulsar.Client,
    function: Held,
    source: tuple[str, str],
    target: str,
    payloads: Sequence[tuple[str, bytes]],
) -> Drain:
    """From the first to the last message that comes out, by the publish times that the function's process gave them."""
    admin = stack.admin
    with backlog.traces(admin, target) as subscription:
        function.release_one()
        cpu = backlog.until_done(lambda: backlog.waiting(admin, *source), function.pid)
        times = backlog.read(client, target, subscription, len(payloads), {key for key, _ in payloads})
    after_first = len(times) - times.count(times[0])
    return Drain(len(times), after_first / max(0.001, (times[-1] - times[0]) / 1000), cpu)


def _store(stack: Stack, store: Held, room_ids: Sequence[RoomId], count: int) -> Drain:
    """By the heads in Cassandra, which are written behind every stored batch: they say up to where all is stored."""
    heads = crowd.heads(stack, room_ids)
    start = next(heads)
    looks: list[tuple[float, int]] = []

    def left() -> int:
        stored = next(heads) - start
        looks.append((time.monotonic(), stored))
        return count - stored

    store.release_one()
    cpu = backlog.until_done(left, store.pid)
    moved = [look for look in looks if look[1] > 0]
    (first_at, first), (last_at, last) = moved[0], moved[-1]
    if last_at == first_at:
        raise LoadFailed(f"{count} events are too few to see message-store work.")
    return Drain(count, (last - first) / (last_at - first_at), cpu)

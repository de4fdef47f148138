"""End to end: people in rooms over two gateways talk, everybody hears all of it, and it is stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chattifier.schema import session
from tests.load import child, crowd, processes, talkers
from tests.load.crowd import Room
from tests.load.errors import LoadFailed
from tests.load.processes import Seconds
from tests.load.sockets import Seat
from tests.load.stack import Stack
from tests.load.talkers import Heard, Plan

ROOMS, MEMBERS = 10, 20
BUCKET = 5000
"""Messages per partition of `messages`."""
STORED_WITHIN = 60.0
WARM_UP = 30.0
"""Seconds of talk before anything is timed: the JVMs of a fresh stack compile for so long."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Talk:
    """What was said, heard and stored, and the CPU seconds of each part while people talked."""

    plan: Plan
    heard: Heard
    stored: int
    cpu: Seconds
    gateways: int


def measure(stack: Stack, rate: float, seconds: float, say: Say) -> Talk:
    """Raises LoadFailed if anything was lost, doubled or refused: then the latencies mean nothing."""
    rooms = crowd.rooms(stack, crowd.people(stack, ROOMS * MEMBERS), MEMBERS)
    plan = _plan(stack, rooms, rate, seconds)
    say(f"{ROOMS} rooms of {MEMBERS} are there; {plan.sends} messages at {rate:.0f}/s")
    with child.started(talkers.run, plan) as clients:
        clients.expect(str, 120)
        before = processes.cpu_of(stack.pids())
        clients.expect(str, plan.seconds + 120)
        cpu = processes.used(before, processes.cpu_of(stack.pids()))
        heard = clients.expect(Heard, talkers.PATIENCE + 30)
    talk = Talk(plan, heard, _stored(stack, rooms, plan.sends), cpu, len(stack.report.gateways))
    _check(talk)
    return talk


def _plan(stack: Stack, rooms: Sequence[Room], rate: float, seconds: float) -> Plan:
    gateways = stack.report.gateways
    seats = tuple(
        tuple(Seat(gateways[place % len(gateways)], person.token) for place, person in enumerate(room.members))
        for room in rooms
    )
    return Plan(tuple(room.id for room in rooms), seats, rate, warm_up=min(WARM_UP, seconds), seconds=seconds)


def _stored(stack: Stack, rooms: Sequence[Room], sent: int) -> int:
    """Rows of `messages` in these rooms, once they are as many as were sent, or after a while."""
    buckets = ",".join(map(str, range(sent // BUCKET + 1)))
    query = (
        f"SELECT count(*) AS rows FROM {stack.cassandra.keyspace}.messages WHERE bucket IN ({buckets}) AND room_id ="
    )
    deadline = time.monotonic() + STORED_WITHIN
    with session(stack.cassandra) as execute:
        while True:
            stored = sum(int(execute(f"{query} {room.id}").one().rows) for room in rooms)
            if stored >= sent or time.monotonic() > deadline:
                return stored
            time.sleep(0.5)


def _check(talk: Talk) -> None:
    plan, heard = talk.plan, talk.heard
    figures = {
        "acked": (heard.acked, plan.sends),
        "delivered": (heard.delivered, plan.expected),
        "delivered twice": (heard.twice, 0),
        "stored": (talk.stored, plan.sends),
    }
    wrong = [f"{name} {found} instead of {wanted}" for name, (found, wanted) in figures.items() if found != wanted]
    if wrong:
        raise LoadFailed(f"Of {plan.sends} messages: {', '.join(wrong)} (refused: {heard.refused}).")

"""A gateway is killed with all its clients: how soon they are back, whole, and what that costs Cassandra."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pulsar

from chattifier.schema import session
from pulsar_data import ids, topics
from pulsar_data.commands import SendMessage
from tests.load import child, crowd, returners
from tests.load.crowd import Room
from tests.load.errors import LoadFailed
from tests.load.returners import Back, Plan
from tests.load.sockets import Seat
from tests.load.stack import Stack

MEMBERS = 20
WITHIN = 60.0
"""Seconds for the last of them; the aim is 15."""
TABLES = ("users_by_id", "sessions_by_user", "rooms_by_user", "rooms_by_id", "members_by_room", "room_log", "messages")
"""What opening a session might read."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Reconnect:
    """How the clients came back, and the reads of Cassandra meanwhile, by table."""

    clients: int
    back: Back
    reads: dict[str, int]


def measure(stack: Stack, clients: int, say: Say) -> Reconnect:
    """Raises LoadFailed if anybody did not come back, or missed something: then the times mean nothing."""
    people = crowd.people(stack, clients)
    rooms = crowd.rooms(stack, people, MEMBERS)
    gateways = stack.report.gateways
    seats = tuple(Seat(gateways[0], person.token) for room in rooms for person in room.members)
    plan = Plan(seats, tuple(room.id for room in rooms for _ in room.members), tuple(gateways), WITHIN)
    with child.started(returners.run, plan) as returning:
        returning.expect(str, 300)
        say(f"{clients} clients are connected to the first gateway")
        before = reads(stack)
        _kill(stack)
        _speak(stack, rooms)
        back = returning.expect(Back, 2 * WITHIN + 30)
        after = reads(stack)
    measured = Reconnect(clients, back, {table: after[table] - before[table] for table in TABLES})
    if min(len(back.seconds), back.recovered, back.whole) < clients:
        raise LoadFailed(
            f"Of {clients} clients {len(back.seconds)} came back, {back.recovered} recovered, {back.whole} are whole."
        )
    say(f"all are back after {max(back.seconds):.1f} s")
    return measured


def reads(stack: Stack) -> dict[str, int]:
    """Reads that Cassandra has done since it started, by table."""
    query = "SELECT table_name, count FROM system_views.local_read_latency WHERE keyspace_name = '{}' ALLOW FILTERING"
    with session(stack.cassandra) as execute:
        rows = execute(query.format(stack.cassandra.keyspace))
        counts = {row.table_name: int(row.count) for row in rows}
    return {table: counts.get(table, 0) for table in TABLES}


def _kill(stack: Stack) -> None:
    pid = stack.pid("gateway-1")
    if pid is None:
        raise LoadFailed("The first gateway does not run.")
    os.kill(pid, signal.SIGKILL)


def _speak(stack: Stack, rooms: Sequence[Room]) -> None:
    """One message in each room, which all its members miss unless they are back already."""
    with crowd.client(stack) as client:
        producer = client.create_producer(topics.COMMANDS, batching_type=pulsar.BatchingType.KeyBased)
        for room in rooms:
            command = SendMessage(
                room=room.id, actor=room.members[0].user, key=ids.new_key(crowd.now()), text="Where are you all?"
            )
            producer.send_async(command.to_json(), lambda result, _id: None, partition_key=room.id)
        producer.flush()

"""What an idle connection costs a gateway in memory: a slope, so that what the process needs anyhow is not in it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.load import child, crowd, idlers, processes
from tests.load.errors import LoadFailed
from tests.load.sockets import Seat
from tests.load.stack import Stack

MEMBERS = 20
CALM = 3.0
"""Seconds after the last connection before memory is read: heartbeats and collections have come by."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Idle:
    """Resident bytes of the gateway by the number of connections."""

    resident: dict[int, int]

    @property
    def slope(self) -> float:
        """Bytes per connection: least squares."""
        return statistics.linear_regression(list(self.resident), list(self.resident.values())).slope


def measure(stack: Stack, steps: tuple[int, ...], say: Say) -> Idle:
    """Connect ever more people to the first gateway; each in one room of 20."""
    crowds = crowd.people(stack, steps[-1])
    crowd.rooms(stack, crowds, MEMBERS)
    say(f"{len(crowds)} people are there")
    pid = stack.pid("gateway-1")
    if pid is None:
        raise LoadFailed("The first gateway does not run.")
    plan = idlers.Plan(tuple(Seat(stack.report.gateways[0], person.token) for person in crowds), steps)
    resident: dict[int, int] = {}
    with child.started(idlers.run, plan) as clients:
        for _ in steps:
            count = clients.expect(int, 300)
            time.sleep(CALM)
            resident[count] = processes.resident(pid)
            say(f"{count} connections: {resident[count] / 2**20:.1f} MiB")
            clients.go_on()
    return Idle(resident)

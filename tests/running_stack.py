"""A stack for the tests: started by them, or attached to."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from chattifier import processes
from chattifier.errors import PortBusy, StackError
from chattifier.layout import Layout
from chattifier.log_files import last_meaningful
from chattifier.ports import check_free
from chattifier.run_state import RunState, read
from chattifier.status import CassandraPlace, PartStatus, PulsarAddress, RedisAddress, Report, report

STARTS_WITHIN = 900.0
"""Seconds; the first start on a machine fetches Pulsar and Cassandra."""
GIVEN: set[int] = set()
"""Ports that `free_ports` has given to somebody, who may not listen yet."""


@dataclass(frozen=True)
class Stack:
    """A running stack: where everything listens, and which processes there are."""

    data: Path
    report: Report

    @property
    def auth(self) -> str:
        """http://host:port of the auth function."""
        return self.report.auth

    @property
    def gateways(self) -> tuple[str, ...]:
        """ws:// addresses, one a gateway."""
        return self.report.gateways

    @property
    def edge(self) -> str:
        """http://host:port of the one public port, in front of all these."""
        assert self.report.edge is not None, "the stack was started without its edge"
        return self.report.edge

    @property
    def pulsar(self) -> PulsarAddress:
        """`service_url` and `admin_url`."""
        return self.report.pulsar

    @property
    def cassandra(self) -> CassandraPlace:
        """`host`, `port` and `keyspace`."""
        return self.report.cassandra

    @property
    def redis(self) -> RedisAddress:
        """`url`."""
        return self.report.redis

    @property
    def parts(self) -> Mapping[str, PartStatus]:
        """Every process as it is now: pids change when a part is started again."""
        return report(Layout(self.data), _state(self.data)).parts

    def pids(self, name: str) -> list[int]:
        """The processes of a part now; of a function (`chat-router`) those of all its instances."""
        numbered = [part for part in self.parts if part == name or part.rpartition("-")[0] == name]
        return [pid for part in numbered if (pid := self.parts[part].pid) is not None]

    def pid(self, part: str) -> int:
        """The process of a part, or of an instance of a function (`archive-0`), now; 0 while there is none."""
        return self.parts[part].pid or 0

    def workers(self, name: str) -> list[int]:
        """As `pids`; where a part's process only watches others that work (user-auth's), with those."""
        pids = self.pids(name)
        if name == "auth":
            pids += [child.pid for pid in pids for child in psutil.Process(pid).children()]
        return pids


@contextmanager
def started(data: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start a stack of one's own on free ports, and stop it at the end. It ends with us, however we end.

    `environment`: what all its processes get besides.
    """
    argv = (sys.executable, "-m", "chattifier", "up", "--data", str(data), "--port-base", str(free_ports()), *options)
    log = data / "up.log"
    data.mkdir(parents=True, exist_ok=True)
    Layout(data).lock_file.touch()  # it is a stack's, though our log is in it already
    # All sign-ups of all tests come from one address.
    given = {"CHATTIFIER_AUTH_LIMITS": "off", **(environment or {})}
    process = processes.start(argv, processes.environment(**given), data, log)
    try:
        _await_up(data, log, process.poll)
        yield attached(data)
    finally:
        process.terminate()
        process.wait(120)


def attached(data: Path) -> Stack:
    """The stack that runs on a data folder. Raises StackError if none does."""
    state = _state(data)
    if not (state.up and state.supervised):
        raise StackError(f"No stack is up on {data}.")
    return Stack(data, report(Layout(data), state))


def free_ports(count: int = 16) -> int:
    """The first of a run of free ports, below those that the system hands out; nobody was given one before."""
    while True:
        base = random.SystemRandom().randrange(12_000, 32_000, count)
        run = range(base, base + count)
        try:
            check_free({str(port): port for port in run})
        except PortBusy:
            continue
        if GIVEN.isdisjoint(run):
            GIVEN.update(run)
            return base


def _await_up(data: Path, log: Path, ended: Callable[[], int | None]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        state = read(Layout(data).run_file)
        if state is not None and state.up:
            return
        if ended() is not None:
            raise StackError(f"The stack did not start: {last_meaningful(log)}")
        time.sleep(0.1)
    raise StackError(f"The stack was not up after {STARTS_WITHIN:.0f} s: see {log}.")


def _state(data: Path) -> RunState:
    state = read(Layout(data).run_file)
    if state is None:
        raise StackError(f"No stack was ever started on {data}.")
    return state

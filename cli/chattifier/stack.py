"""The local stack as a whole: which parts there are, in which order they start, and what must be there before."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from chattifier import keys, processes, schema, topics
from chattifier.artifacts import Artifact, pinned
from chattifier.downloads import Cache
from chattifier.errors import StackError
from chattifier.layout import Layout
from chattifier.parts.cassandra import cassandra
from chattifier.parts.part import Part, Task
from chattifier.parts.pulsar import admin_url, pulsar
from chattifier.parts.redis import redis
from chattifier.ports import HOST, Ports, check_free
from chattifier.progress import downloading
from chattifier.run_state import RunState, read
from chattifier.schema import LOCAL_REPLICATION, CassandraAddress
from chattifier.supervisor import Stage

ALL = ("redis", "cassandra", "pulsar", "functions", "auth", "gateways")
KEYSPACE = "chat"


@dataclass(frozen=True)
class Stack:
    """What was asked for: a stack in a folder, on ports, of some or all parts."""

    layout: Layout
    cache: Cache
    ports: Ports
    only: tuple[str, ...] = ALL
    parallelism: int = 2

    @property
    def cassandra(self) -> CassandraAddress:
        """Where its Cassandra is."""
        return CassandraAddress(((HOST, self.ports.cassandra),), KEYSPACE)

    def prepare(self, console: Console) -> None:
        """Everything before the first part starts: folders, free ports, downloads, keys. Idempotent."""
        self.layout.create()
        self._clear_leftovers()
        for part in self.only:
            self._check_ports(part)
        self._fetch(console)
        keys.ensure(self.layout)

    def stages(self) -> Sequence[Stage]:
        """The parts and tasks in the order in which they start. Those of a stage start together."""
        stores = (self._redis(), self._cassandra(), self._pulsar())
        return [stage for stage in (self._of(stores), self._of(self._stores_content())) if stage]

    def _of(self, items: Sequence[Part | Task]) -> Stage:
        return list(items)

    def _redis(self) -> Part:
        return redis(self.layout, self.ports)

    def _cassandra(self) -> Part:
        return cassandra(self.layout, self.ports, self.cache)

    def _pulsar(self) -> Part:
        return pulsar(self.layout, self.ports, self.cache)

    def _stores_content(self) -> Sequence[Task]:
        return (
            Task("schema", lambda: schema.apply(self.cassandra, LOCAL_REPLICATION)),
            Task("topics", lambda: topics.ensure(topics.Admin(admin_url(self.ports)))),
        )

    def _check_ports(self, part: str) -> None:
        names = [f"gateway-{n}" for n in range(1, len(self.ports.gateways) + 1)] if part == "gateways" else [part]
        for name in names:
            check_free(self.ports.of(name))

    def _fetch(self, console: Console) -> None:
        missing = self.cache.missing(self._needed())
        if missing:
            with downloading(console, sum(artifact.size for artifact in missing)) as bar:
                self.cache.fetch(missing, lambda count: bar.advance(bar.task_ids[0], count))
        if "pulsar" in self.only and not self.cache.pulsar.exists():
            with console.status("Unpacking Pulsar"):
                self.cache.unpack_pulsar()

    def _needed(self) -> list[Artifact]:
        archive = pinned("pulsar") if "pulsar" in self.only and not self.cache.pulsar.exists() else ()
        jars = pinned("cassandra") if "cassandra" in self.only else ()
        return [*archive, *jars]

    def _clear_leftovers(self) -> None:
        """End what a supervisor that was killed may have left running."""
        state = read(self.layout.run_file)
        if state is not None and state.supervised and state.supervisor is not None:
            raise StackError(
                f"A stack runs on {self.layout.root} already (pid {state.supervisor.pid}): see `chattifier status`."
            )
        if state is not None:
            clear(state)
            self.layout.run_file.unlink()


def clear(state: RunState) -> list[str]:
    """Stop every recorded process that still runs, last started first. Returns the names of those that did."""
    alive = [(name, entry.process) for name, entry in state.entries.items() if entry.process and entry.process.alive]
    for _, process in reversed(alive):
        processes.stop(process, within=20)
    return [name for name, _ in alive]


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the folder's lock, which the kernel lets go when we end. Raises StackError if another supervisor has it."""
    with layout.lock_file.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"Another stack is starting or running on {layout.root}: see `chattifier status`."
            ) from error
        yield

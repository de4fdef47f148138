"""The local stack as a whole: which parts there are, in which order they start, and what must be there before."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rich.console import Console

from chattifier import functions, keys, processes, schema, topics
from chattifier.artifacts import Artifact, pinned
from chattifier.downloads import Cache
from chattifier.errors import StackError
from chattifier.functions import Deployment, UserConfig
from chattifier.layout import Layout
from chattifier.package import Sources
from chattifier.parts.cassandra import cassandra
from chattifier.parts.edge import edge
from chattifier.parts.part import Part, Task
from chattifier.parts.programs import auth, gateway, settings, web
from chattifier.parts.pulsar import admin_url, pulsar
from chattifier.parts.redis import redis
from chattifier.ports import HOST, Ports, check_free
from chattifier.progress import downloading
from chattifier.pulsar_admin import PulsarAdmin
from chattifier.run_state import RunState, read, write
from chattifier.schema import LOCAL_REPLICATION, CassandraAddress
from chattifier.supervisor import Stage
from chattifier.topics import Admin

ALL = ("redis", "cassandra", "pulsar", "functions", "auth", "gateways", "web", "edge")
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

    @property
    def initial_state(self) -> RunState:
        """What the supervisor's record starts with."""
        return RunState(supervisor=None, ports=self.ports, entries={}, parallelism=self.parallelism)

    def prepare(self, console: Console) -> None:
        """Everything before the first part starts: folders, free ports, downloads, keys. Idempotent."""
        self.layout.create()
        self._clear_leftovers()
        for part in self.only:
            self._check_ports(part)
        self._fetch(console)
        keys.ensure(self.layout)
        self.stages()  # writes the parts' configurations, and says what is missing before anything starts

    def stages(self) -> Sequence[Stage]:
        """The parts and tasks in the order in which they start. Those of a stage start together."""
        stages: tuple[Iterable[Part | Task], ...] = (
            self._stores(),
            self._contents(),
            self._functions_and_auth(),
            self._gateways_and_web(),
            self._edge(),
        )
        return [stage for stage in map(tuple, stages) if stage]

    def _stores(self) -> Iterator[Part]:
        if "redis" in self.only:
            yield redis(self.layout, self.ports)
        if "cassandra" in self.only:
            yield cassandra(self.layout, self.ports, self.cache)
        if "pulsar" in self.only:
            part = pulsar(self.layout, self.ports, self.cache)
            yield replace(part, restarted=self._revive_functions) if "functions" in self.only else part

    def _contents(self) -> Iterator[Task]:
        if "cassandra" in self.only:
            yield Task("schema", self._make_tables)
        if "pulsar" in self.only:
            yield Task("topics", lambda: topics.ensure(self._admin))

    def _functions_and_auth(self) -> Iterator[Part | Task]:
        if "functions" in self.only:
            yield Task("functions", self._deployment().run)
        if "auth" in self.only:
            yield auth(self.layout, self.ports)

    def _gateways_and_web(self) -> Iterator[Part]:
        if "gateways" in self.only:
            for number in range(1, len(self.ports.gateways) + 1):
                yield gateway(number, self.layout, self.ports)
        if "web" in self.only:
            yield web(self.layout, self.ports, behind_edge="edge" in self.only)

    def _edge(self) -> Iterator[Part]:
        if "edge" in self.only:
            yield edge(self.layout, self.ports)

    def _make_tables(self) -> str:
        schema.await_answer(self.cassandra, 120)  # it listens; on a busy machine its first answer takes its time
        return schema.apply(self.cassandra, LOCAL_REPLICATION)

    @property
    def _admin(self) -> Admin:
        return Admin(admin_url(self.ports))

    def _deployment(self) -> Deployment:
        tool = PulsarAdmin(self.cache.pulsar, admin_url(self.ports), f"pulsar://{HOST}:{self.ports.pulsar}")
        environment = settings(self.layout, self.ports)
        config = UserConfig(
            cassandra=environment["CHATTIFIER_CASSANDRA"],
            keyspace=KEYSPACE,
            redis_url=environment["CHATTIFIER_REDIS_URL"],
            **functions.traces(processes.environment()),
        )
        return Deployment(tool, self._admin, Sources.installed(), config, self.parallelism)

    def _revive_functions(self) -> None:
        functions.await_running(self._admin)

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
        if state is not None:  # it stays: a start that fails early must not make the folder look like no stack's
            clear(state)
            write(self.layout.run_file, state.model_copy(update={"supervisor": None, "up": False, "failure": None}))


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

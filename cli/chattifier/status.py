"""What `chattifier status` says."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from rich.table import Table

from chattifier.function_instances import instances, instances_of
from chattifier.layout import Layout
from chattifier.ports import HOST
from chattifier.run_state import Entry, RunState, State
from pulsar_data.topics import FUNCTIONS


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PulsarAddress(_Model):
    """Where Pulsar is."""

    service_url: str
    admin_url: str


class CassandraPlace(_Model):
    """Where Cassandra is."""

    host: str
    port: int
    keyspace: str


class RedisAddress(_Model):
    """Where Redis is."""

    url: str


class PartStatus(_Model):
    """One process."""

    pid: int | None
    state: State
    log: str


class Report(_Model):
    """The shape of `status --json`."""

    auth: str
    gateways: tuple[str, ...]
    edge: str | None
    """The one public address: what is in front of `auth`, `gateways` and the web client."""
    web: str
    pulsar: PulsarAddress
    cassandra: CassandraPlace
    redis: RedisAddress
    parts: dict[str, PartStatus]

    @property
    def entrance(self) -> tuple[str, str]:
        """Where clients go, for HTTP and for sockets: the edge, or where there is none, user-auth and a gateway."""
        if self.edge is None:
            return self.auth, self.gateways[0]
        return self.edge, f"{self.edge.replace('http', 'ws', 1)}/connection/websocket"


def report(layout: Layout, state: RunState) -> Report:
    """Addresses and processes of a stack, as they are now."""
    ports = state.ports
    edge = f"http://{HOST}:{ports.edge}" if "edge" in state.entries else None
    return Report(
        auth=f"http://{HOST}:{ports.auth}",
        gateways=tuple(f"ws://{HOST}:{port}/connection/websocket" for port in ports.gateways),
        edge=edge,
        web=edge or f"http://{HOST}:{ports.web}",
        pulsar=PulsarAddress(
            service_url=f"pulsar://{HOST}:{ports.pulsar}", admin_url=f"http://{HOST}:{ports.pulsar_web}"
        ),
        cassandra=CassandraPlace(host=HOST, port=ports.cassandra, keyspace="chat"),
        redis=RedisAddress(url=f"redis://{HOST}:{ports.redis}/0"),
        parts={**_processes(state), **_functions(layout, state)},
    )


def _processes(state: RunState) -> dict[str, PartStatus]:
    return {name: _part(entry) for name, entry in state.entries.items() if entry.log is not None}


def _functions(layout: Layout, state: RunState) -> dict[str, PartStatus]:
    """Each instance of each function is a part, `<function>-<instance>`: Pulsar starts them, and starts them again."""
    if "functions" not in state.entries:
        return {}
    pulsar = state.entries["pulsar"].process
    running = instances(pulsar.pid) if pulsar is not None and pulsar.alive else {}
    wanted = [(name, number) for name in FUNCTIONS for number in range(instances_of(name, state.parallelism))]
    return {f"{name}-{number}": _function(layout, name, number, running.get((name, number))) for name, number in wanted}


def _function(layout: Layout, name: str, instance: int, pid: int | None) -> PartStatus:
    state = State.STOPPED if pid is None else State.READY
    return PartStatus(pid=pid, state=state, log=str(layout.function_log(name, instance)))


def _part(entry: Entry) -> PartStatus:
    alive = entry.process is not None and entry.process.alive
    state = entry.state if alive or entry.process is None else State.STOPPED
    return PartStatus(pid=entry.process.pid if alive and entry.process else None, state=state, log=entry.log or "")


def table(layout: Layout, state: RunState) -> Table:
    """The same for people."""
    now = report(layout, state)
    rows = Table("part", "state", "pid", "listens", box=None, header_style="bold", pad_edge=False)
    for name, part in now.parts.items():
        rows.add_row(name, part.state, str(part.pid or ""), _listens(name, now))
    return rows


def _listens(name: str, now: Report) -> str:
    single = {
        "redis": now.redis.url,
        "cassandra": f"{now.cassandra.host}:{now.cassandra.port}",
        "pulsar": f"{now.pulsar.service_url}  {now.pulsar.admin_url}",
        "auth": now.auth,
        "web": "" if now.edge else now.web,
        "edge": now.edge or "",
    }
    numbered = {f"gateway-{number}": url for number, url in enumerate(now.gateways, start=1)}
    return {**single, **numbered}.get(name, "")

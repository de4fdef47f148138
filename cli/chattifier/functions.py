"""Deploys the Pulsar Functions: creates those that are missing, updates those that differ, waits until they run.

Each carries the digest of everything it was made of, as a label among its runtime options (a worker on Kubernetes
makes a pod label of it, one on plain processes ignores it): so nothing is done if nothing changed.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from chattifier import package, stored_code
from chattifier.errors import DeployError
from chattifier.function_instances import instances_of
from chattifier.package import Sources
from chattifier.pulsar_admin import PulsarAdmin
from chattifier.topics import Admin
from pulsar_data.topics import FUNCTIONS
from pulsar_data.traces import exporter

WRITER = "chat-router"
"""It writes the events that the others read."""
API = "/admin/v3/functions/chat/core"
RUNS_WITHIN = 120.0
RESTART_EVERY = 10.0
"""Seconds that an instance gets to come up before it is restarted (again)."""


NOT_TOLD = ("OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
"""Functions have names of their own. Headers hold keys, and Pulsar logs a function's config when it starts."""


class UserConfig(BaseModel):
    """What a function instance is told: where its stores are, and any other of its settings. Whoever may read the
    functions of the tenant sees it: no password of Cassandra's is here, and of Redis only where the URL has one.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    cassandra: str
    keyspace: str
    redis_url: str | None


def traces(environ: Mapping[str, str]) -> dict[str, JsonValue]:
    """The setting `traces`, where OpenTelemetry's variables name an exporter; the services' names are the functions'.

    Raises DeployError.
    """
    try:
        variables = exporter(environ)
    except ValueError as error:
        raise DeployError(f"{error}.") from error
    kept: dict[str, JsonValue] = {name: value for name, value in variables.items() if name not in NOT_TOLD}
    return {"traces": kept} if kept else {}


class _Instance(BaseModel):
    running: bool = False
    error: str = ""


class _InstanceStatus(BaseModel):
    status: _Instance


class _Status(BaseModel):
    numInstances: int = 0
    numRunning: int = 0
    instances: list[_InstanceStatus] = Field(default_factory=list)

    @property
    def complete(self) -> bool:
        return 0 < self.numInstances == self.numRunning

    @property
    def gave_up(self) -> bool:
        """Whether an instance is down for a reason: the worker does not try again by itself."""
        return any(instance.status.error and not instance.status.running for instance in self.instances)

    @property
    def error(self) -> str:
        """The first line of what an instance says is wrong."""
        errors = [instance.status.error.strip() for instance in self.instances if instance.status.error.strip()]
        return errors[0].splitlines()[0][:300] if errors else "no instance says why"


@dataclass(frozen=True)
class Deployment:
    """All functions, from which sources, with which settings, on which Pulsar."""

    tool: PulsarAdmin
    admin: Admin
    sources: Sources
    user_config: UserConfig
    parallelism: int
    locked_dependencies: Path | None = None
    """Wheels to pack, where the worker's Python has none."""
    names: tuple[str, ...] = FUNCTIONS
    """Those that are wanted; what else is deployed stays."""

    def run(self) -> str:
        """Create or update what differs, and wait until all instances run. Says what was done."""
        with tempfile.TemporaryDirectory() as folder:
            archive = package.build(self.sources, Path(folder), self.locked_dependencies)
            changed = {name: how for name in self.names if (how := self._how(name, archive)) is not None}
            last = [name for name, how in changed.items() if name == WRITER and how == "update"]
            first = [name for name in changed if name not in last]
            with ThreadPoolExecutor(len(self.names)) as threads:
                list(threads.map(lambda name: self._deploy(changed[name], name, archive), first))
            for name in last:  # its events may be of a new version: whoever reads them comes first
                await_running(self.admin, first)
                self._deploy(changed[name], name, archive)
        await_running(self.admin, self.names)
        return ", ".join(f"{how}d {name}" for name, how in changed.items()) or "unchanged"

    def _how(self, name: str, archive: Path) -> str | None:
        """What there is to do for a function: create, update or nothing."""
        response = self.admin.request("GET", f"{API}/{name}", allowed=(404,))
        if response.status_code == 404:
            return "create"
        deployed = str(response.json().get("customRuntimeOptions", ""))
        return None if self._digest(name, archive) in deployed else "update"

    def _deploy(self, how: str, name: str, archive: Path) -> None:
        if how == "update":
            stored_code.replace(self.admin, name, archive)
        self.tool.run(
            (
                *("functions", how, "--function-config-file", str(self.sources.config(name))),
                *("--py", str(archive), "--parallelism", str(instances_of(name, self.parallelism))),
                *("--user-config", self.user_config.model_dump_json(exclude_none=True)),
                *("--custom-runtime-options", json.dumps({"extraLabels": {"digest": self._digest(name, archive)}})),
            )
        )

    def _digest(self, name: str, archive: Path) -> str:
        parts = (
            package.digest(archive),
            self.sources.config(name).read_text(),
            self.user_config.model_dump_json(exclude_none=True),
            str(instances_of(name, self.parallelism)),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def await_running(admin: Admin, names: Sequence[str] = FUNCTIONS) -> None:
    """Wait until every instance of these functions runs; restart those that do not come up by themselves.

    Raises DeployError with the reason that Pulsar gives.
    """
    deadline = time.monotonic() + RUNS_WITHIN
    restarted = dict.fromkeys(names, 0.0)
    while waiting := {name: status for name in names if not (status := _status(admin, name)).complete}:
        for name, status in waiting.items():
            if time.monotonic() > deadline:
                raise DeployError(f"The function {name} does not run: {status.error}. See `chattifier logs {name}-0`.")
            # After a restart of the worker this is the rule: it starts instances before its package store answers.
            if status.gave_up and time.monotonic() > restarted[name] + RESTART_EVERY:
                admin.request("POST", f"{API}/{name}/restart", allowed=(400, 503))
                restarted[name] = time.monotonic()
        time.sleep(0.3)


def _status(admin: Admin, name: str) -> _Status:
    response = admin.request("GET", f"{API}/{name}/status", allowed=(404, 500, 503))
    return _Status.model_validate_json(response.content) if response.is_success else _Status()

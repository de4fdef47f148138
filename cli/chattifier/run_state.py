"""What a running stack says of itself in `run.json`, so that other commands (and the next start) know it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from chattifier.ports import Ports
from chattifier.processes import Identity


class State(StrEnum):
    """Of a part or a task."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Entry(BaseModel):
    """One part or task of the stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State = State.WAITING
    process: Identity | None = None
    log: str | None = None
    """None for a task, which has no process either."""
    note: str = ""
    restarts: int = 0


class RunState(BaseModel):
    """The whole stack. `up` is set once everything is ready, `failure` when the start ended in one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    supervisor: Identity | None
    ports: Ports
    entries: dict[str, Entry]
    parallelism: int = 1
    """Instances of each function."""
    up: bool = False
    failure: str | None = None

    @property
    def supervised(self) -> bool:
        """Whether its supervisor lives."""
        return self.supervisor is not None and self.supervisor.alive


def read(path: Path) -> RunState | None:
    """The last known state, or None if there never was one, or one of another version."""
    try:
        return RunState.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None


def write(path: Path, state: RunState) -> None:
    """Replace the file at once: a reader sees the old or the new one, never a half."""
    new = path.with_suffix(".new")
    new.write_text(state.model_dump_json(indent=2))
    new.replace(path)

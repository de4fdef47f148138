"""Runs the `chattifier` command as a user would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chattifier import processes
from chattifier.run_state import RunState, read


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


def run(*arguments: str, within: float = 150, environment: Mapping[str, str] | None = None) -> Done:
    """Run `chattifier`, on a wide screen, so that tables keep their lines whole; `environment`: more of it."""
    argv = [sys.executable, "-m", "chattifier", *arguments]
    env = processes.environment(**(environment or {}), COLUMNS="250")
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=within, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Command:
    """The command, with its stack in a folder of the test's own."""

    data: Path

    def run(self, *arguments: str, within: float = 150) -> Done:
        """Run a subcommand on the stack."""
        return run(*arguments, "--data", str(self.data), within=within)

    def state(self) -> RunState:
        """What the stack says of itself."""
        state = read(self.data / "run.json")
        assert state is not None
        return state

    def pid(self, part: str) -> int:
        """The process of a part."""
        process = self.state().entries[part].process
        assert process is not None
        return process.pid

"""How long a start takes, and what an idle stack holds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chattifier.layout import Layout
from chattifier.run_state import read
from tests.load.errors import LoadFailed
from tests.load.processes import resident
from tests.load.stack import Stack, chattifier

PORTS = 28500
SETTLES = 15.0
"""Seconds after the start at which memory is read."""


@dataclass(frozen=True)
class Start:
    """Seconds of the first start on a folder (downloads are there) and of the next one; bytes by part of the latter."""

    first: float
    warm: float
    resident: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of all parts together."""
        return sum(self.resident.values())


def measure(say: Callable[[str], None]) -> Start:
    """Start a stack of its own twice on the same folder."""
    with tempfile.TemporaryDirectory(prefix="chattifier-load-") as folder:
        first = _timed(folder)
        chattifier("down", "--data", folder)
        say(f"first start {first:.0f} s")
        try:
            warm = _timed(folder)
            time.sleep(SETTLES)
            return Start(first, warm, _resident(Stack(Layout(Path(folder)))))
        finally:
            chattifier("down", "--data", folder)


def _timed(folder: str) -> float:
    started = time.monotonic()
    chattifier("up", "--detach", "--data", folder, "--port-base", str(PORTS))
    return time.monotonic() - started


def _resident(stack: Stack) -> dict[str, int]:
    state = read(stack.layout.run_file)
    if state is None or state.supervisor is None:
        raise LoadFailed("the stack that was just started does not run")
    pids = [*stack.pids(), ("supervisor", state.supervisor.pid)]
    return {name: resident(pid) for name, pid in pids if pid is not None}

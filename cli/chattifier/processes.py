"""Processes of a stack: start them tethered to us, know them again later, stop them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from chattifier import tether


class Identity(BaseModel):
    """A process, known by its pid and start time (in clock ticks since boot), as pids are used again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs. A zombie does not."""
        return _stat(self.pid) == self.started


def identify(pid: int) -> Identity | None:
    """The identity of a running process, or None if there is none."""
    started = _stat(pid)
    return None if started is None else Identity(pid=pid, started=started)


def _stat(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may contain anything
    return None if fields[0] in "ZX" else int(fields[19])


def start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path, timer_slack: int = 0
) -> subprocess.Popen[bytes]:
    """Start a process that appends to `log` and gets SIGTERM when we die. Call it from the main thread only.

    It has a session of its own, so that Ctrl-C in a terminal reaches us alone and we stop the parts in order.
    """
    cwd.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(timer_slack), *argv]
    with log.open("ab") as out:
        return subprocess.Popen(
            command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def stop(process: Identity, within: float) -> None:
    """Ask a process to end (SIGTERM), wait up to `within` seconds, then kill it. Its zombie is the parent's to reap."""
    for sign, patience in ((signal.SIGTERM, within), (signal.SIGKILL, 5.0)):
        if not process.alive:
            return
        try:
            os.kill(process.pid, sign)
        except ProcessLookupError:
            return
        wait_gone(process, patience)


def wait_gone(process: Identity, within: float) -> bool:
    """Wait up to `within` seconds for a process to end. Whether it did."""
    deadline = time.monotonic() + within
    while process.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def environment(**extra: str) -> dict[str, str]:
    """Our environment plus `extra`, for a part.

    Bytecode is written even where the machine says not to: without it imports cost two to three times as much.
    """
    ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    return {**ours, **extra}

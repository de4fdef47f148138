"""What the supervisor knows of a part: how to start it, when it is ready, how long it may take to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True)
class Part:
    """One process of the stack."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    ready: Callable[[], bool]
    """Whether it does its work now. Quick (under a second), never raises."""
    listens: str
    """Where it listens, for people."""
    ready_within: float = 120.0
    """Generous: a part that dies is seen at once, and a busy machine is no reason to give up on one that lives."""
    stop_within: float = 20.0
    timer_slack: int = 0
    """How late (ns) its timers may be; 0: as usual."""
    before: Callable[[], None] | None = None
    """Called before each start, to mend what its last end has left behind. Quick. Raises PartFailed where it cannot
    start now; a restart is tried again until it can."""
    broken: Callable[[], bool] | None = None
    """Whether it lives, but says of itself that it cannot do its work and will not by itself: then it is killed, and
    started again. May take seconds, never raises; no answer says nothing, as a busy machine gives none either."""
    restarted: Callable[[], None] | None = None
    """Called when the part is ready again after a restart, to repair what the restart left behind."""


@dataclass(frozen=True)
class Task:
    """Work between the parts, such as making the tables. Raises a ChattifierError if it cannot be done."""

    name: str
    run: Callable[[], str]
    """Does it and says in a few words what was done."""


def ok(url: str) -> bool:
    """Whether an HTTP address on this machine answers 200."""
    try:
        # verify: reading the system's certificates for each of these questions costs more than all the rest of them
        return httpx.get(url, timeout=1.0, trust_env=False, verify=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False

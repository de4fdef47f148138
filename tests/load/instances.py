"""Holding a function back, and letting one instance of it go: a backlog is worked off by exactly one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chattifier.function_instances import instances
from chattifier.topics import Admin
from tests.load.errors import LoadFailed
from tests.load.stack import Stack

WAIT = 120.0
"""Seconds for an instance to start or end on a busy machine."""


@dataclass(frozen=True)
class Held:
    """A function whose instances are all stopped. Its subscription, and so its backlog, stays."""

    admin: Admin
    stack: Stack
    path: str

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.path.rpartition("/")[2]

    def release_one(self) -> None:
        """Start instance 0 alone. Returns at once."""
        self.admin.request("POST", f"/admin/v3/functions/{self.path}/0/start")

    def pid(self) -> int | None:
        """The process of instance 0."""
        return self._running().get((self.name, 0))

    def _running(self) -> dict[tuple[str, int], int]:
        pulsar = self.stack.pid("pulsar")
        if pulsar is None:
            raise LoadFailed("Pulsar has died: see `chattifier logs pulsar`.")
        return instances(pulsar)

    def instances(self) -> list[int]:
        """The processes of all its instances."""
        return [pid for (name, _), pid in self._running().items() if name == self.name]


@contextmanager
def held(stack: Stack, path: str) -> Iterator[Held]:
    """Stop all instances of `tenant/namespace/name`; in the end all run again."""
    function = Held(stack.admin, stack, path)
    count = len(function.instances())
    function.admin.request("POST", f"/admin/v3/functions/{path}/stop")
    try:
        wait_until(f"{function.name} has stopped", lambda: not function.instances())
        yield function
    finally:
        function.admin.request("POST", f"/admin/v3/functions/{path}/start", allowed=(400,))  # 400: all run already
        wait_until(f"{function.name} runs again", lambda: len(function.instances()) >= count)


def wait_until(what: str, condition: Callable[[], bool], within: float = WAIT) -> None:
    """Raises LoadFailed when it takes too long."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise LoadFailed(f"Waited {within:.0f} s in vain: {what}.")
        time.sleep(0.1)

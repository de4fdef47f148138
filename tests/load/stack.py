"""The stack that is measured: one that runs, or one of our own that is stopped afterwards."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chattifier.layout import Layout
from chattifier.run_state import read
from chattifier.schema import CassandraAddress
from chattifier.status import Report, report
from chattifier.topics import Admin
from tests.load.errors import LoadFailed

PORTS = 29500
"""Of a stack of our own: beside a running one, and below the ports that the kernel gives to connections."""


@dataclass(frozen=True)
class Stack:
    """Where everything of one running stack is."""

    layout: Layout

    @property
    def report(self) -> Report:
        """As it is now. Raises LoadFailed if it does not run."""
        state = read(self.layout.run_file)
        if state is None or not (state.up and state.supervised):
            raise LoadFailed(f"No stack runs on {self.layout.root}: start it with `chattifier up --detach --data ...`.")
        return report(self.layout, state)

    @property
    def admin(self) -> Admin:
        """Pulsar's admin API."""
        return Admin(self.report.pulsar.admin_url)

    @property
    def cassandra(self) -> CassandraAddress:
        """Contact point and keyspace."""
        place = self.report.cassandra
        return CassandraAddress(((place.host, place.port),), place.keyspace)

    def pid(self, part: str) -> int | None:
        """The process of a part, if it runs."""
        return self.report.parts[part].pid

    def pids(self) -> list[tuple[str, int | None]]:
        """All processes, by part."""
        return [(name, part.pid) for name, part in self.report.parts.items()]


@contextmanager
def running(data: Path | None) -> Iterator[Stack]:
    """The stack on that folder, or a fresh one that ends with this context and leaves nothing."""
    if data is not None:
        stack = Stack(Layout(data.absolute()))
        _ = stack.report
        yield stack
        return
    with tempfile.TemporaryDirectory(prefix="chattifier-load-") as folder:
        try:
            chattifier("up", "--detach", "--data", folder, "--port-base", str(PORTS))
            yield Stack(Layout(Path(folder)))
        finally:
            chattifier("down", "--data", folder)


def chattifier(*arguments: str) -> None:
    """Run the command. Raises LoadFailed if it does not succeed; it has said why."""
    done = subprocess.run([sys.executable, "-m", "chattifier", *arguments], check=False)
    if done.returncode != 0:
        raise LoadFailed(f"`chattifier {arguments[0]}` failed: see above.")

"""Shows a start or a stop as it goes: spinners on a terminal, one line a change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TransferSpeedColumn

from chattifier.run_state import Entry, State

SETTLED = (State.READY, State.STOPPED, State.FAILED)
MARKS = {
    State.READY: "[green]✓[/]",
    State.STOPPED: "[dim]■[/]",
    State.FAILED: "[red]✗[/]",
    State.RESTARTING: "[yellow]↻[/]",
}


class Observer(Protocol):
    """Told of every change of an entry."""

    def changed(self, name: str, entry: Entry) -> None:
        """An entry has another state or note."""


class Screen:
    """Shows changes on a console. A change shown twice is shown once."""

    def __init__(self, console: Console) -> None:
        """Show on `console`, as lines only if it is no terminal."""
        self._console = console
        columns = (SpinnerColumn(), TextColumn("{task.description}"))
        hidden = not console.is_terminal  # it would redraw nothing all day
        self._live = Progress(*columns, console=console, transient=True, refresh_per_second=5, disable=hidden)
        self._spinners: dict[str, TaskID] = {}
        self._seen: dict[str, Entry] = {}
        self._since: dict[str, float] = {}

    @contextmanager
    def shown(self) -> Iterator[Screen]:
        """Spinners move while this context is open."""
        with self._live:
            yield self

    def changed(self, name: str, entry: Entry) -> None:
        """Show a change."""
        if self._seen.get(name) == entry:
            return
        self._seen[name] = entry
        if entry.state in SETTLED or entry.state is State.RESTARTING:
            self._settle(name, entry)
        elif entry.state is not State.WAITING:
            self._spin(name, entry)

    def changed_all(self, entries: Mapping[str, Entry]) -> None:
        """Show whatever differs from what was shown last."""
        for name, entry in entries.items():
            self.changed(name, entry)

    def known(self, entries: Mapping[str, Entry]) -> None:
        """Take these as shown already: only what changes from here on is shown."""
        self._seen.update(entries)

    def _spin(self, name: str, entry: Entry) -> None:
        self._since.setdefault(name, time.monotonic())
        if name not in self._spinners:
            self._spinners[name] = self._live.add_task(f"{name} [dim]{entry.state}[/]", total=None)
        self._live.update(self._spinners[name], description=f"{name} [dim]{entry.state}[/]")

    def _print(self, line: str) -> None:
        """With the time where it goes to a file."""
        stamp = "" if self._console.is_terminal else f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} "
        self._live.console.print(stamp + line, highlight=False, soft_wrap=True)

    def _settle(self, name: str, entry: Entry) -> None:
        if name in self._spinners:
            self._live.remove_task(self._spinners.pop(name))
        now = time.monotonic()
        took = now - self._since.pop(name, now)
        seconds = f" [dim]{took:.1f} s[/]" if entry.state is State.READY else ""
        self._print(f"{MARKS[entry.state]} {name} [dim]{entry.state}[/]{seconds} {entry.note}")


@contextmanager
def downloading(console: Console, total: int) -> Iterator[Progress]:
    """A progress bar over `total` bytes; advance its only task."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as bar:
        bar.add_task("Fetching Pulsar and Cassandra", total=total)
        yield bar

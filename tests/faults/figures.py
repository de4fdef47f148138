"""The table of a run's figures, printed at the end of the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.judge import Fault, Verdict


@dataclass(frozen=True)
class Run:
    """One fault test."""

    name: str
    faults: int
    verdict: Verdict

    @property
    def cells(self) -> Sequence[str]:
        """A row of the table."""
        verdict = self.verdict
        lost = verdict.count(Fault.LOST) + verdict.count(Fault.MISSED) + verdict.count(Fault.VANISHED)
        doubled = verdict.count(Fault.DOUBLED) + verdict.count(Fault.REPEATED)
        delays = [f"{seconds * 1000:.0f}" for seconds in (verdict.percentile(0.5), verdict.percentile(0.99))]
        numbers = (self.faults, verdict.attempted, verdict.acked, verdict.stored, lost, doubled)
        return (self.name, *map(str, numbers), *delays, f"{verdict.worst:.3f}")


HEAD = ("run", "faults", "sends", "acked", "stored", "lost", "doubled", "p50 ms", "p99 ms", "worst s")


def table(runs: Sequence[Run]) -> list[str]:
    """The lines of a Markdown table."""
    rows = [HEAD, *(run.cells for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [_line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in rows]
    return [lines[0], _line(["-" * width for width in widths]), *lines[1:]]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

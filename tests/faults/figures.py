"""The table of a run's figures, printed at the end of the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.faults.judge import Fault, Verdict
from tests.load.machine import Machine

Row = tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One fault test."""

    name: str
    faults: int
    verdict: Verdict

    @property
    def cells(self) -> Row:
        """A row of the table."""
        verdict = self.verdict
        lost = verdict.count(Fault.LOST) + verdict.count(Fault.MISSED) + verdict.count(Fault.VANISHED)
        doubled = verdict.count(Fault.DOUBLED) + verdict.count(Fault.REPEATED)
        delays = [f"{seconds * 1000:.0f}" for seconds in (verdict.percentile(0.5), verdict.percentile(0.99))]
        other = len(verdict.findings) - lost - doubled
        numbers = (self.faults, verdict.attempted, verdict.acked, verdict.stored, lost, doubled, other)
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        return (self.name, *map(str, numbers), *delays, f"{verdict.worst:.3f}", day)


HEADING = """\
# What was killed, and what it cost

Written by `scripts/faults`. A hundred clients in ten rooms over two gateways send a hundred messages a second, all
told, at times fixed beforehand, while at random moments parts of the system are killed, or stand still for half a
minute, their disks fill, their clocks jump by an hour, or the network between them fails: it is cut without a word to
either side, half of the time one way only; it loses 5 % of its packets; each packet takes 200 ms longer. Each client
writes down what it attempted, what was acked, and what it received; a judge (`tests/faults/judge.py`, itself tested)
then compares: acked is stored, stored was attempted, numbers are dense, every member got the rows of its room in their
order, none twice.

*lost*: acked and not stored, or stored and not received, or sent and never heard of again. *doubled*: stored or
received twice. *other*: in disorder, under another number, refused for good, later than promised, whatever else the
judge finds. *worst*: from the moment a message was meant to be sent until the last member had it, the death included.
*router acks too early* is the counter-check: a function that acks as Pulsar does by default must lose messages here, or
the test sees nothing.

All of it takes hours. A run of some (`scripts/faults -k freezes`) writes their rows anew and leaves the others."""
HEAD = ("run", "faults", "sends", "acked", "stored", "lost", "doubled", "other", "p50 ms", "p99 ms", "worst s", "day")


def table(found: Sequence[Row]) -> list[str]:
    """The lines of a Markdown table."""
    rows = [HEAD, *found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [_line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in rows]
    return [lines[0], _line(["-" * width for width in widths]), *lines[1:]]


def page(runs: Sequence[Run], before: str = "") -> str:
    """docs/reliability.md: what was killed how often, and what it cost.

    `before`: the page as it was. Rows of faults that these runs did not have stay: all of them take hours.
    """
    rows = {row[0]: row for row in _rows(before)}
    rows |= {run.name: run.cells for run in runs}
    lines = [
        HEADING,
        "",
        *table([rows[name] for name in sorted(rows)]),
        "",
        f"<sub>The last of them: {Machine.this().line().partition(', load')[0]}.</sub>",
        "",
    ]
    return "\n".join(lines)


def _rows(page: str) -> list[Row]:
    rows = [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in page.splitlines() if "|" in line]
    return [row for row in rows[2:] if len(row) == len(HEAD)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

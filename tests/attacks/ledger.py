"""A plugin of pytest for `scripts/attacks`: a table of what was tried, what came of it, and whether that was meant.

A test that notes its inputs (`noted`) has a row for each of them; any other has one for itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

WIDTHS = (22, 66, 26)
VERDICTS = {"passed": "as designed", "failed": "NOT AS DESIGNED", "skipped": "not tried"}
Row = tuple[str, str, str, str]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and how many inputs there were of each verdict."""
    rows = [row for kind, verdict in VERDICTS.items() for row in _rows(terminalreporter, kind, verdict)]
    terminalreporter.write_sep("=", "attacks")
    for row in sorted(rows):
        cells = [cell[:width].ljust(width) for cell, width in zip(row, WIDTHS, strict=False)]
        terminalreporter.write_line("  ".join((*cells, row[3])))
    for verdict in VERDICTS.values():
        terminalreporter.write_line(f"{sum(row[3] == verdict for row in rows):5} {verdict}")


def _rows(reporter: pytest.TerminalReporter, kind: str, verdict: str) -> Iterator[Row]:
    for report in reporter.stats.get(kind, ()):
        if report.when != "call" and kind == "passed":
            continue
        where, _, test = report.nodeid.removeprefix("tests/").partition("::")
        place = where.removesuffix(".py").replace("/test_", "/")
        noted = [str(value) for name, value in report.user_properties if name == "attack"]
        for line in noted or [test.removeprefix("test_").replace("_", " ")]:
            what, _, answer = line.partition("\t")
            yield place, " ".join(what.split()), answer, verdict

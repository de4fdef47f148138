"""The page of fault runs: what was not run again keeps its row."""

from __future__ import annotations

from tests.faults.figures import HEAD, Run, page
from tests.faults.judge import judge


def test_a_run_of_some_faults_leaves_the_rows_of_the_others() -> None:
    """By name: one row each, the newest."""
    verdict = judge([], {})
    first = page([Run("kill -9 archive", 20, verdict), Run("FLUSHALL", 20, verdict)])
    second = page([Run("FLUSHALL", 40, verdict), Run("disk full", 20, verdict)], first)
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in second.splitlines() if line.startswith("| ")]
    assert rows[2:] == [["FLUSHALL", "40"], ["disk full", "20"], ["kill -9 archive", "20"]]
    assert rows[0] == list(HEAD[:2])
    assert page([], second).splitlines()[:-1] == second.splitlines()[:-1]

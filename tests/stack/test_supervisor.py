"""The supervisor's eye on what lives and does not work, on a process that does nothing at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chattifier.run_state import RunState, State, read

from .eventually import eventually

PROGRAM = """
import sys
from pathlib import Path
from chattifier import supervisor
from chattifier.parts.part import Part
from chattifier.ports import Ports
from chattifier.run_state import RunState

class Silent:
    def changed(self, name, entry):
        pass

root = Path(sys.argv[1])
supervisor.ASK_EVERY = 0.05
part = Part(
    name="sleeper", argv=("sleep", "1000"), env={"PATH": "/usr/bin:/bin"}, cwd=root, log=root / "sleeper.log",
    ready=lambda: True, listens="nowhere", broken=lambda: (root / "broken").exists(),
)
initial = RunState(supervisor=None, ports=Ports.plan(20000, 1), entries={}, parallelism=1)
supervisor.Supervisor([[part]], initial, root / "run.json", Silent()).run(lambda: None)
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The folder of a supervisor that runs."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)])
    yield tmp_path
    process.terminate()
    assert process.wait(20) == 0


def _state(root: Path) -> RunState | None:
    return read(root / "run.json")


def _pid(root: Path) -> int | None:
    state = _state(root)
    entry = state.entries["sleeper"] if state is not None else None
    return entry.process.pid if entry and entry.process and entry.state is State.READY else None


def test_a_part_that_says_that_it_cannot_work_is_started_again(root: Path) -> None:
    """Until it says no such thing any more; then it is left alone."""
    assert eventually(lambda: _pid(root) is not None)
    first = _pid(root)
    (root / "broken").touch()
    assert eventually(lambda: "said that it cannot work" in _note(root))
    (root / "broken").unlink()
    assert eventually(lambda: _pid(root) not in (None, first))


def _note(root: Path) -> str:
    state = _state(root)
    return state.entries["sleeper"].note if state is not None else ""

"""The supervisor's eye on what lives and does not work, on a process that does nothing at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chattifier.run_state import RunState, State, read

from .eventually import eventually

PROGRAM = """
import sys
from pathlib import Path
import time
from chattifier import supervisor
from chattifier.errors import PartFailed
from chattifier.parts.part import Part, Task
from chattifier.ports import Ports
from chattifier.run_state import RunState

class Silent:
    def changed(self, name, entry):
        check_space()

def check_space():
    if (root / "full").exists():
        raise OSError(28, "No space left on device")

def write(path, state, write=supervisor.write):
    check_space()
    write(path, state)

def before():
    if (root / "no-room").exists():
        raise PartFailed("it starts when there is room")

root = Path(sys.argv[1])
supervisor.WAIT = 0.1
supervisor.write = write
supervisor.ASK_EVERY = 0.05
part = Part(
    name="sleeper", argv=("sleep", "1000"), env={"PATH": "/usr/bin:/bin"}, cwd=root, log=root / "sleeper.log",
    ready=lambda: True, listens="nowhere", broken=lambda: (root / "broken").exists(),
    before=before,
)
initial = RunState(supervisor=None, ports=Ports.plan(20000, 1), entries={}, parallelism=1)
long = [Task(name="long", run=lambda: time.sleep(600) or "")] if "long" in sys.argv else []
supervisor.Supervisor([[part, *long]], initial, root / "run.json", Silent()).run(lambda: None)
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


def test_a_part_that_cannot_start_again_now_does_so_when_it_can(root: Path) -> None:
    assert eventually(lambda: _pid(root) is not None)
    first = _pid(root)
    assert first is not None
    (root / "no-room").touch()
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: _note(root) == "it starts when there is room")
    time.sleep(0.5)
    assert _pid(root) is None
    (root / "no-room").unlink()
    assert eventually(lambda: _pid(root) not in (None, first))


def test_a_part_that_cannot_start_at_all_is_a_failure_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "no-room").touch()
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "it starts when there is room" in done.stderr


def test_a_full_disk_ends_nothing(root: Path) -> None:
    """Parts are started again while nothing can be written down, and stopped in the end."""
    assert eventually(lambda: _pid(root) is not None)
    first = _pid(root)
    assert first is not None
    (root / "full").touch()
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: _child(root) not in (None, first))
    (root / "full").unlink()
    second = _child(root)
    assert second is not None
    os.kill(second, signal.SIGKILL)  # the next change is written down again
    assert eventually(lambda: _pid(root) not in (None, first))


def _child(root: Path) -> int | None:
    """The sleeper that runs, if one does, whatever is written down."""
    state = _state(root)
    assert state is not None
    assert state.supervisor is not None
    pid = state.supervisor.pid
    return next(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()), None)


def test_who_is_asked_to_stop_does_not_wait_for_a_task(tmp_path: Path) -> None:
    """One may take minutes."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), "long"])
    assert eventually(lambda: (state := _state(tmp_path)) is not None and state.entries["long"].state is State.STARTING)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    state = _state(tmp_path)
    assert state is not None
    assert state.supervisor is None


def _note(root: Path) -> str:
    state = _state(root)
    return state.entries["sleeper"].note if state is not None else ""

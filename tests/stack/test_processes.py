"""Starting, knowing and stopping processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from chattifier import processes
from chattifier.processes import Identity, identify, wait_gone

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = """
import sys, time
from pathlib import Path
from chattifier import processes
child = processes.start(["sleep", "60"], processes.environment(), Path(sys.argv[1]), Path(sys.argv[1]) / "log")
while Path(f"/proc/{child.pid}/comm").read_text().strip() != "sleep":
    time.sleep(0.01)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = identify(int(parent.stdout.readline()))
        assert child is not None
        parent.kill()
        assert wait_gone(child, within=10)


def test_a_process_that_does_not_heed_sigterm_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        identity = identify(process.pid)
        assert identity is not None
        processes.stop(identity, within=0.2)
        assert process.wait(5) == -9


def test_a_pid_that_another_process_has_now_is_not_taken_for_the_old_one() -> None:
    now = identify(os.getpid())
    assert now is not None
    assert now.alive
    assert not Identity(pid=now.pid, started=now.started - 1).alive


def test_a_process_that_ended_is_not_alive_though_nobody_reaped_it() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identify(process.pid) is None
    process.wait()


def test_a_process_may_get_timers_that_are_later_than_usual(tmp_path: Path) -> None:
    log = tmp_path / "log"
    show = ["cat", "/proc/self/timerslack_ns"]
    processes.start(show, processes.environment(), tmp_path, log, timer_slack=2_000_000).wait(10)
    assert log.read_text().strip() == "2000000"

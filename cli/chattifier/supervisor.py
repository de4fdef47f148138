"""Starts the parts of a stack in order, keeps them running, and stops them in reverse order.

Everything happens in the main thread, as the kernel ties the children's end to it (see tether.py); only tasks, which
start no parts, run in another, so that a signal or a dying part is seen meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from chattifier import processes
from chattifier.errors import ChattifierError, PartFailed
from chattifier.log_files import last_meaningful
from chattifier.parts.part import Part, Task
from chattifier.processes import Identity
from chattifier.progress import Observer
from chattifier.run_state import Entry, RunState, State, write

TICK = 0.1
PROBE_EVERY = 0.3
"""Seconds between two looks whether a part is ready."""
BACKOFF = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the first, second, ... restart; the last holds from there on."""
WAIT = 2.0
"""Seconds between two questions whether a part that cannot start now can."""
ASK_EVERY = 2.0
"""Seconds between two questions whether a part is broken."""
BROKEN_TIMES = 3
"""It must say so that often in a row: what heals by itself is left alone."""
HEALTHY_AFTER = 10.0
"""A part that was ready for so many seconds starts again at the first backoff."""

Stage = Sequence[Part | Task]
"""Started together; the next stage waits until all of this are ready."""


class Interrupted(Exception):
    """We were asked to stop, by a signal."""


@dataclass
class Running:
    """A part that was started."""

    part: Part
    process: subprocess.Popen[bytes]
    identity: Identity
    started: float
    ready: bool = False
    ready_at: float | None = None
    restarts: int = 0
    restart_at: float | None = None
    probe_at: float = 0.0
    ask_at: float = 0.0
    answer: Future[bool] | None = None
    """Under way: whether it is broken."""
    complaints: int = 0

    def becomes_ready(self) -> bool:
        """Whether it is ready now and was not before. Asks the part itself, but not at every tick."""
        if self.ready or time.monotonic() < self.probe_at:
            return False
        self.ready = self.part.ready()
        self.ready_at = time.monotonic() if self.ready else None
        self.probe_at = time.monotonic() + PROBE_EVERY
        return self.ready

    def is_broken(self, threads: ThreadPoolExecutor) -> bool:
        """Whether it has said so often enough. Asks in another thread, now and then, once it was ready."""
        if self.part.broken is None or not self.ready:
            return False
        if self.answer is None and time.monotonic() >= self.ask_at:
            self.answer = threads.submit(self.part.broken)
        elif self.answer is not None and self.answer.done():
            self.complaints = self.complaints + 1 if self.answer.result() else 0
            self.answer, self.ask_at = None, time.monotonic() + ASK_EVERY
        return self.complaints >= BROKEN_TIMES


class Supervisor:
    """Owns the processes of one stack."""

    def __init__(self, stages: Sequence[Stage], initial: RunState, run_file: Path, observer: Observer) -> None:
        """Nothing starts before `run`."""
        self._stages = stages
        self._run_file = run_file
        self._observer = observer
        self._running: list[Running] = []
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="health")
        entries = {item.name: Entry(log=_log(item)) for stage in stages for item in stage}
        self._state = initial.model_copy(update={"entries": entries, "supervisor": processes.identify(os.getpid())})

    def run(self, when_up: Callable[[], None]) -> None:
        """Start everything, call `when_up`, and keep it so until SIGINT, SIGTERM or SIGHUP; then stop everything.

        Raises the ChattifierError of a part or task that failed at the start, with everything stopped again.
        """
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # HUP: the terminal was closed
            signal.signal(sign, self._asked_to_stop)
        self._publish()
        try:
            for stage in self._stages:
                self._start(stage)
            self._publish(up=True)
            with suppress(OSError):
                when_up()
            self._watch()
        except Interrupted:
            pass
        except ChattifierError as error:
            self._publish(failure=error.message)
            raise
        finally:
            self._stop_all()

    def _asked_to_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop.set()

    # -- starting

    def _start(self, stage: Stage) -> None:
        parts = [item for item in stage if isinstance(item, Part)]
        starting = []
        for part in parts:
            try:
                starting.append(self._launch(part))
            except PartFailed:
                self._set(part.name, State.FAILED)
                raise
            self._running.append(starting[-1])
        self._perform([item for item in stage if isinstance(item, Task)])
        while not all(running.ready for running in starting):
            self._check_starting(starting)
            self._pause()

    def _launch(self, part: Part, restarts: int = 0) -> Running:
        if part.before is not None:
            part.before()
        process = processes.start(part.argv, part.env, part.cwd, part.log, part.timer_slack)
        identity = processes.identify(process.pid) or Identity(pid=process.pid, started=0)
        running = Running(part, process, identity, time.monotonic(), restarts=restarts)
        self._set(part.name, State.STARTING, identity)
        return running

    def _check_starting(self, starting: Sequence[Running]) -> None:
        for running in starting:
            part = running.part
            if running.process.poll() is not None:
                self._fail(part, f"{part.name} {_ending(running.process)} while starting")
            if running.becomes_ready():
                self._set(part.name, State.READY, running.identity, part.listens)
            elif not running.ready and time.monotonic() - running.started > part.ready_within:
                self._fail(part, f"{part.name} was not ready after {part.ready_within:.0f} s")

    def _fail(self, part: Part, what: str) -> None:
        self._set(part.name, State.FAILED)
        raise PartFailed(f"{what}: {last_meaningful(part.log)} (log: {part.log})")

    def _perform(self, tasks: Sequence[Task]) -> None:
        """Run tasks in other threads, while this one sees parts die and signals come, and does not wait for them."""
        futures = {task.name: _begun(task.run) for task in tasks}
        for name in futures:
            self._set(name, State.STARTING)
        while futures:
            for name in [name for name, future in futures.items() if future.done()]:
                self._finish(name, futures.pop(name))
            self._check_starting(self._running)
            self._pause()

    def _finish(self, name: str, future: Future[str]) -> None:
        try:
            self._set(name, State.READY, note=future.result())
        except ChattifierError:
            self._set(name, State.FAILED)
            raise

    def _pause(self) -> None:
        if self._stop.wait(TICK):
            raise Interrupted

    # -- keeping up

    def _watch(self) -> None:
        while True:
            for running in list(self._running):
                self._look_after(running)
            self._pause()

    def _look_after(self, running: Running) -> None:
        if running.restart_at is not None:
            if time.monotonic() >= running.restart_at:
                self._restart(running)
        elif running.process.poll() is not None:
            self._plan_restart(running)
        elif running.becomes_ready():
            self._set(running.part.name, State.READY, running.identity, running.part.listens)
            threading.Thread(target=self._repair, args=(running.part,), daemon=True).start()
        elif running.is_broken(self._threads):
            running.process.kill()

    def _repair(self, part: Part) -> None:
        """Mend what a part's restart left behind. If that fails the part runs all the same: say so and go on."""
        try:
            if part.restarted is not None:
                part.restarted()
        except ChattifierError as error:
            self._observer.changed(part.name, self._state.entries[part.name].model_copy(update={"note": error.message}))

    def _plan_restart(self, running: Running) -> None:
        if running.ready_at is not None and time.monotonic() - running.ready_at > HEALTHY_AFTER:
            running.restarts = 0
        delay = BACKOFF[min(running.restarts, len(BACKOFF) - 1)]
        running.restart_at = time.monotonic() + delay
        ending = "said that it cannot work" if running.complaints >= BROKEN_TIMES else _ending(running.process)
        note = f"{ending}; starting it again in {delay:g} s (log: {running.part.log})"
        self._set(running.part.name, State.RESTARTING, note=note)

    def _restart(self, running: Running) -> None:
        place = self._running.index(running)  # it keeps its place in the order of stopping
        try:
            self._running[place] = self._launch(running.part, running.restarts + 1)
        except PartFailed as error:
            running.restart_at = time.monotonic() + WAIT
            self._set(running.part.name, State.RESTARTING, note=error.message)
        except OSError as error:  # no space, no memory: later, perhaps
            running.restarts += 1
            running.restart_at = time.monotonic() + BACKOFF[min(running.restarts, len(BACKOFF) - 1)]
            self._set(running.part.name, State.RESTARTING, note=f"it cannot be started: {error.strerror}")

    # -- stopping

    def _stop_all(self) -> None:
        for running in reversed(self._running):
            if running.process.poll() is None:
                self._set(running.part.name, State.STOPPING, running.identity)
                _stop(running)
            if self._state.entries[running.part.name].state is not State.FAILED:
                self._set(running.part.name, State.STOPPED)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._publish(supervisor=None, up=False)

    # -- the record

    def _set(self, name: str, state: State, process: Identity | None = None, note: str = "") -> None:
        entry = self._state.entries[name].model_copy(update={"state": state, "process": process, "note": note})
        self._publish(entries={**self._state.entries, name: entry})
        with suppress(OSError):
            self._observer.changed(name, entry)

    def _publish(self, **changes: object) -> None:
        """A full disk or a closed terminal ends nothing that we look after, nor its orderly end."""
        self._state = self._state.model_copy(update=changes)
        with suppress(OSError):
            write(self._run_file, self._state)


def _stop(running: Running) -> None:
    process = running.process
    process.terminate()
    try:
        process.wait(running.part.stop_within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _begun(call: Callable[[], str]) -> Future[str]:
    """In a thread that nobody waits for: a task may take minutes, and who is asked to stop has not got them."""
    future: Future[str] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  it is raised where the result is looked at
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, for people."""
    code = process.returncode
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _log(item: Part | Task) -> str | None:
    return str(item.log) if isinstance(item, Part) else None

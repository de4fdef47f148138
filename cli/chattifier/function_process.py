"""Run a function instance that ends when the Pulsar worker that started it does.

A worker that is killed leaves its Python instances behind, still consuming. The kernel's parent-death signal will not
do here, as Linux ties it to the parent's *thread*, and Java's come and go. So a thread waits for the parent process.

And an instance that starts stands behind those that work: its imports cost a second of a core, just when its twin has
the work of both.
"""

from __future__ import annotations

import importlib
import os
import runpy
import select
import sys
import threading
from contextlib import suppress
from pathlib import Path

INTERVAL = "--expected_healthcheck_interval"
PATIENCE = "60"
"""Seconds. An instance kills itself when the worker has not asked for its health for three intervals. The worker asks
every second, so that it sees a dead instance at once; but if *it* stands still for three (a collection, a busy machine)
all instances would end together. An instance whose worker is gone ends by the parent's end, not by this."""
IMPORTS = (
    "pulsar",
    "grpc",
    "google.protobuf.json_format",
    "prometheus_client",
    "pydantic",
    "redis.asyncio",
    "cassandra.cluster",
)
"""What is slow to import of the instance and of our functions."""
MODEST = 10
"""How nice the imports are to others: they get a tenth of what a working process gets, where both want a core."""


def main(argv: list[str]) -> None:
    """Become the script `argv[0]` with its arguments, with an eye on the parent."""
    parent = os.pidfd_open(os.getppid())
    threading.Thread(target=_end_with, args=(parent,), daemon=True, name="parent-watch").start()
    importing = threading.Thread(target=_import_modestly, name="imports")
    importing.start()
    importing.join()
    sys.argv = patient(argv)
    sys.path[0] = str(Path(argv[0]).parent)  # as Python itself would have it for a script
    runpy.run_path(argv[0], run_name="__main__")


def patient(argv: list[str]) -> list[str]:
    """The arguments of the instance, with more patience for its worker."""
    if INTERVAL not in argv:
        return argv
    place = argv.index(INTERVAL) + 1
    return [*argv[:place], PATIENCE, *argv[place + 1 :]]


def _import_modestly() -> None:
    """Import on this thread, at a priority lowered for good: Linux has one for each thread, and gives none back."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), MODEST)
    # Unseen by redis, which would import its SDK: see pulsar_data.traces, which need not be there yet.
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]
    for name in IMPORTS:
        with suppress(ImportError):  # for whoever needs it to say
            importlib.import_module(name)
    del sys.modules["opentelemetry"]


def _end_with(parent: int) -> None:
    select.select([parent], [], [])  # readable when the process has ended
    os._exit(1)  # whatever was not acked is redelivered


if __name__ == "__main__":
    main(sys.argv[1:])

"""Run a function instance that ends when the Pulsar worker that started it does.

A worker that is killed leaves its Python instances behind, still consuming. The kernel's parent-death signal will not
do here, as Linux ties it to the parent's *thread*, and Java's come and go. So a thread waits for the parent process.

An instance that starts stands behind those that work: its imports cost a second of a core, just when its twin has the
work of both.

And it listens on two ports, on which the worker asks for its health and its metrics. The worker picks them among those
that are free before it starts any, and for good: two instances may be given the same, or somebody else has one when a
killed instance is back. Of an instance that cannot listen only the main thread dies, and so it works; but nobody asks
it for its health, so it ends itself after three intervals, and begins anew, for ever.
"""

from __future__ import annotations

import importlib
import os
import runpy
import select
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

INTERVAL = "--expected_healthcheck_interval"
PATIENCE = "60"
"""Seconds. An instance kills itself when the worker has not asked for its health for three intervals. The worker asks
every second, so that it sees a dead instance at once; but if *it* stands still for three (a collection, a busy machine)
all instances would end together. An instance whose worker is gone ends by the parent's end, not by this."""
NEVER = "0"
ANY = "0"
PORT = "--port"
METRICS_PORT = "--metrics_port"
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
    sys.argv = listening(patient(argv))
    sys.path[0] = str(Path(argv[0]).parent)  # as Python itself would have it for a script
    runpy.run_path(argv[0], run_name="__main__")


def patient(argv: list[str]) -> list[str]:
    """The arguments of the instance, with more patience for its worker."""
    return _changed(argv, INTERVAL, PATIENCE)


def listening(argv: list[str]) -> list[str]:
    """The arguments of the instance, with any free port in place of one that somebody else has.

    Of an instance with such a port the worker shows no metrics; and as it is not asked for its health, it does not wait
    for that either.
    """
    port, metrics = _value(argv, PORT), _value(argv, METRICS_PORT)
    if metrics and (metrics == port or not _is_free(int(metrics))):
        _say(f"port {metrics} is taken. This instance works, but Pulsar does not show its metrics")
        argv = _changed(argv, METRICS_PORT, ANY)
    if port and not _is_free(int(port)):
        _say(f"port {port} is taken. This instance works, but Pulsar's status of it is that of another one, or none")
        argv = _changed(_changed(argv, PORT, ANY), INTERVAL, NEVER)
    return argv


def _value(argv: list[str], option: str) -> str | None:
    return argv[argv.index(option) + 1] if option in argv else None


def _changed(argv: list[str], option: str, value: str) -> list[str]:
    if option not in argv:
        return argv
    place = argv.index(option) + 1
    return [*argv[:place], value, *argv[place + 1 :]]


def _is_free(port: int) -> bool:
    """As its servers would see it: connections that died with the last instance are no hindrance."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _say(what: str) -> None:
    print(f"chattifier: {what}; restart the function to have that back.", file=sys.stderr, flush=True)


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

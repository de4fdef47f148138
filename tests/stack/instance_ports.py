"""The ports of a function instance: those that its worker gave it, and those on which it listens."""

from __future__ import annotations

from contextlib import suppress

import psutil

from chattifier.function_process import METRICS_PORT, PORT


def given(pid: int) -> set[int]:
    """By the worker; none where there is no such process."""
    with suppress(psutil.Error):
        argv = psutil.Process(pid).cmdline()
        return {int(argv[argv.index(option) + 1]) for option in (PORT, METRICS_PORT) if option in argv}
    return set()


def taken(pid: int) -> set[int]:
    """By the instance; none where there is no such process."""
    with suppress(psutil.Error):
        connections = psutil.Process(pid).net_connections("tcp")
        return {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}
    return set()


def has_its_own(pid: int) -> bool:
    """Whether it listens where the worker asks it: since Pulsar started, another one may have had one of its ports."""
    ports = given(pid)
    return len(ports) == 2 and taken(pid) == ports

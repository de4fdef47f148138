"""What processes have used: CPU time, which a busy machine changes little, and memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import psutil

_TICK = os.sysconf("SC_CLK_TCK")
Seconds = dict[str, float]


def cpu(pid: int) -> float:
    """Seconds of user and system time that a process has used so far, 10 ms exact. Raises OSError if it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def cpu_of(pids: Iterable[tuple[str, int | None]]) -> Seconds:
    """CPU seconds by name, of those that run."""
    return {name: cpu(pid) for name, pid in pids if pid is not None}


def used(before: Seconds, after: Seconds) -> Seconds:
    """CPU seconds between two looks, of those that were there both times."""
    return {name: after[name] - seconds for name, seconds in before.items() if name in after}


def resident(pid: int) -> int:
    """Bytes of memory that a process holds just now (RSS)."""
    return psutil.Process(pid).memory_info().rss

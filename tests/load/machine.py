"""What the figures were taken on: they mean little without it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from redis import Redis

from chattifier.artifacts import pinned
from chattifier.status import Report

LIBRARIES = ("pulsar-client", "cassandra-driver", "redis", "pydantic", "uvicorn", "websockets")


@dataclass(frozen=True)
class Machine:
    """One line each, for people. `load` is the load average just before."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    load: float

    @classmethod
    def this(cls) -> Machine:
        """The machine that we run on. Linux only."""
        return cls(
            cpu=_field("/proc/cpuinfo", "model name") or platform.machine(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20,
            kernel=platform.release(),
            load=os.getloadavg()[0],
        )

    def line(self) -> str:
        """All of it, with today's date."""
        return (
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {self.cpu}, {self.cores} cores, {self.memory_gib:.0f} GiB, "
            f"Linux {self.kernel}, load average before {self.load:.1f}"
        )


def versions(report: Report) -> str:
    """Of everything that takes part."""
    stores = [f"Python {platform.python_version()}", f"Pulsar {_pinned('pulsar', 'pulsar-server-distribution')}"]
    stores += [f"Cassandra {_pinned('cassandra', 'cassandra-all')}", f"Redis {_redis(report.redis.url)}"]
    return ", ".join(stores + [f"{name} {version(name)}" for name in LIBRARIES])


def _redis(url: str) -> str:
    with Redis.from_url(url) as client:
        return str(client.info("server")["redis_version"])


def _pinned(section: str, artifact: str) -> str:
    parts = [one.coordinate.split(":") for one in pinned(section)]
    return next(part[-1] for part in parts if part[1] == artifact)


def _field(path: str, name: str) -> str:
    """The value of `name: value`; empty where the file has none, as /proc/cpuinfo on some machines."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""

"""Pulsar standalone with its Functions worker: a home of its own for each stack, linked to the shared distribution."""

from __future__ import annotations

import shlex
import shutil
import socket
import sys
from pathlib import Path

import httpx

from chattifier.downloads import Cache
from chattifier.java import MODEST_COMPILERS, java_home
from chattifier.layout import Layout
from chattifier.parts.part import Part, ok
from chattifier.ports import HOST, Ports
from chattifier.processes import environment
from chattifier.topics import CLASSIC

BROKER_SETTINGS = {
    "bindAddress": HOST,
    "advertisedAddress": HOST,
    # No limit, as a cluster's broker has it; Pulsar refuses a retention below the standalone's 10 GB.
    "backlogQuotaDefaultLimitGB": "-1",
    # A receipt means "on disk"; the shipped value is false.
    "journalSyncData": "true",
    # Together they take a hop from 7 ms to under 1 ms: nobody waits for a fuller batch or the next look.
    "journalFlushWhenQueueEmpty": "true",
    "managedLedgerNewEntriesCheckDelayInMillis": "0",
    # Its storage takes nothing more while the disk is fuller than `_fullest`, and goes on by itself later. Shipped, it
    # looks every 10 s: a disk full to the last byte before that ends it, and then it may lose what it has acked.
    "diskCheckInterval": "1000",
    # A quiet room stands still otherwise, now and then, after an instance was replaced: see topics.advice.
    CLASSIC: "true",
    # An instance that is gone without a word, with its machine or its cable, keeps its rooms for two of these, at most;
    # the shipped value is 30.
    "keepAliveIntervalSeconds": "10",
    # Bounded caches: the shipped values are shares of the JVM's memory, meant for a machine of its own.
    "managedLedgerCacheSizeMB": "64",
    "dbStorage_writeCacheMaxSizeMb": "64",
    "dbStorage_readAheadCacheMaxSizeMb": "32",
    "dbStorage_rocksDB_blockCacheSize": "33554432",
}
STILL_WRITTEN = 128 * 2**20
"""Bytes that its storage may write when it takes nothing more: its write cache (`dbStorage_writeCacheMaxSizeMb`), a
journal, an index. Without room for them it ends, and has lost what it has acked."""
WORKER_SETTINGS = {
    # A killed function process is noticed at this check; the shipped value is 30000.
    "instanceLivenessCheckFreqMs": "1000",
}
JVM = "-Xms256m -Xmx512m -XX:MaxDirectMemorySize=512m"
# Without the AlwaysPreTouch of Pulsar's default: idle memory stays small.
GC = " ".join(("-XX:+UseSerialGC", "-XX:+PerfDisableSharedMem", *MODEST_COMPILERS))


def pulsar(layout: Layout, ports: Ports, cache: Cache) -> Part:
    """The Pulsar of a stack; makes its home."""
    home = layout.part("pulsar")
    _make_home(home, cache.unpack_pulsar(), ports, layout.logs)
    return Part(
        name="pulsar",
        argv=("/bin/sh", str(Path(__file__).with_name("standalone.sh")), *_options(ports)),
        env=_environment(home, layout),
        cwd=home,
        log=layout.log("pulsar"),
        ready=lambda: is_ready(admin_url(ports)),
        listens=f"pulsar://{HOST}:{ports.pulsar}, admin {admin_url(ports)}",
        ready_within=300,
        broken=lambda: has_lost_its_storage(admin_url(ports)),
        stop_within=40,
    )


def admin_url(ports: Ports) -> str:
    """The address of Pulsar's admin API."""
    return f"http://{HOST}:{ports.pulsar_web}"


def is_ready(admin: str) -> bool:
    """Whether the broker and its Functions worker answer. The second path answers later than the first."""
    return ok(f"{admin}/admin/v2/worker/cluster") and ok(f"{admin}/admin/v3/functions/public/default")


def has_lost_its_storage(admin: str) -> bool:
    """Whether none of its bookies takes a connection. They end at the first write that a full disk refuses, and the
    process around them lives on, for ever: its own health check hangs then for most of a minute, before it says so.
    """
    try:
        answer = httpx.get(f"{admin}/admin/v2/bookies/all", timeout=5.0, trust_env=False, verify=False)
        bookies = [bookie["bookieId"] for bookie in answer.raise_for_status().json()["bookies"]]
    except (httpx.HTTPError, ValueError):
        return False
    return not any(map(_listens, bookies))


def _listens(bookie: str) -> bool:
    host, _, port = bookie.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except ConnectionRefusedError:
        return False
    except OSError:  # too busy to say
        return True
    return True


def _options(ports: Ports) -> tuple[str, ...]:
    return ("--no-stream-storage", "--bookkeeper-port", str(ports.bookie), "--advertised-address", HOST)


def _environment(home: Path, layout: Layout) -> dict[str, str]:
    functions_python = home / "python"
    path = f"{functions_python}:{Path(sys.executable).parent}:"
    env = environment(
        JAVA_HOME=str(java_home()),
        PULSAR_MEM=JVM,
        PULSAR_GC=GC,
        PULSAR_GC_LOG="-Xlog:disable -Xlog:all=warning:stdout",
        PULSAR_LOG_DIR=str(layout.logs),
        MALLOC_ARENA_MAX="2",
    )
    env["PATH"] = path + env.get("PATH", "")
    return env


def _make_home(home: Path, distribution: Path, ports: Ports, logs: Path) -> None:
    """Copy what is small or differs (the scripts find their home by where they lie), link what is large."""
    for name in ("bin", "conf"):
        shutil.copytree(distribution / name, home / name, dirs_exist_ok=True)
    for name in ("lib", "instances"):
        link = home / name
        link.unlink(missing_ok=True)
        link.symlink_to(distribution / name)
    fullest = _fullest(home)
    settings = {
        **BROKER_SETTINGS,
        "brokerServicePort": str(ports.pulsar),
        "webServicePort": str(ports.pulsar_web),
        "diskUsageThreshold": fullest,
        "diskUsageWarnThreshold": fullest,
    }
    _set(home / "conf" / "standalone.conf", settings, "=")
    worker = {**WORKER_SETTINGS, "    logDirectory": str(logs)}  # indented: below functionRuntimeFactoryConfigs
    _set(home / "conf" / "functions_worker.yml", worker, ": ")
    client = {"webServiceUrl": f"{admin_url(ports)}/", "brokerServiceUrl": f"pulsar://{HOST}:{ports.pulsar}/"}
    _set(home / "conf" / "client.conf", client, "=")
    _write_python(home / "python" / "python3")


def _fullest(folder: Path) -> str:
    """How full the disk of that folder may be: 99 %, as shipped, unless the rest were less than STILL_WRITTEN."""
    return f"{min(0.99, 1 - STILL_WRITTEN / shutil.disk_usage(folder).total):.4f}"


def _set(path: Path, settings: dict[str, str], separator: str) -> None:
    """Replace settings where they stand, add those that do not. The shipped file has no newline at its end."""
    lines = path.read_text().splitlines()
    places = {line.partition(separator.strip())[0]: place for place, line in enumerate(lines)}
    for name, value in settings.items():
        if name in places:
            lines[places[name]] = f"{name}{separator}{value}"
        else:
            lines.append(f"{name}{separator}{value}")
    path.write_text("\n".join(lines) + "\n")


def _write_python(path: Path) -> None:
    """The `python3` that the worker finds: our environment, and a process that ends when the worker does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m chattifier.function_process "$@"\n')
    path.chmod(0o755)

"""Cassandra, from its jars: configuration, JVM options, and the question whether it answers."""

from __future__ import annotations

import os
import socket
from importlib.resources import files
from pathlib import Path
from string import Template

from chattifier.artifacts import pinned
from chattifier.downloads import Cache
from chattifier.errors import PartFailed
from chattifier.java import MODEST_COMPILERS, java
from chattifier.layout import Layout
from chattifier.parts.part import Part
from chattifier.ports import HOST, Ports
from chattifier.processes import environment

OPTIONS_FRAME = b"\x04\x00\x00\x00\x05\x00\x00\x00\x00"  # native protocol v4, opcode OPTIONS, no body
SUPPORTED = 0x06

TIMER_SLACK = 2_000_000
"""Idle workers of Cassandra look for work every 10 to 100 us: 150,000 context switches a second on two cores while 200
messages a second are stored, and everybody else waits for a turn. With this much slack they are a few thousand; a
statement may start so much later, where the sync of its group takes 10 ms anyway."""
ROOM = 64 * 2**20
"""Bytes that must be free for a start: two segments of its log, and what it finds in the others is written down."""
HEADER = 64
"""Bytes from the start of a segment of the log in which its version, id and checksum are."""
SYSTEM_PROPERTIES = {
    "cassandra.ring_delay_ms": "0",  # there is no ring to wait for
    "cassandra.skip_wait_for_gossip_to_settle": "0",
    "cassandra.superuser_setup_delay_ms": "0",
    "logback.configurationFile": "logback.xml",
}


def cassandra(layout: Layout, ports: Ports, cache: Cache) -> Part:
    """The Cassandra of a stack; writes its configuration."""
    home = layout.part("cassandra")
    _configure(home / "conf", home, ports)
    return Part(
        name="cassandra",
        argv=_argv(home, cache),
        env=environment(MALLOC_ARENA_MAX="2"),  # glibc's arenas, one a thread, are most of an idle JVM's surplus
        cwd=home,
        log=layout.log("cassandra"),
        ready=lambda: _speaks_cql(ports.cassandra),
        listens=f"{HOST}:{ports.cassandra}",
        ready_within=300,
        stop_within=30,
        timer_slack=TIMER_SLACK,
        before=lambda: before_start(home),
    )


def before_start(home: Path) -> None:
    """Delete what a full disk leaves in its log. Raises PartFailed while there is no room for a start.

    Cassandra maps a new segment into memory before it writes its header. Where that is refused it dies (SIGBUS), and
    leaves a segment that is nothing but zeros. It bears one at its next start, as the last; with a second one, of the
    next start on a disk that is still full, it never starts again. As the header is written first, nothing is in these.
    """
    try:
        for segment in home.glob("commitlog/CommitLog-*.log"):
            with segment.open("rb") as file:
                empty = not any(file.read(HEADER))
            if empty:
                segment.unlink()
        found = os.statvfs(home)
    except OSError as error:
        raise PartFailed(f"cassandra cannot start on {error.filename}: {error.strerror}") from error
    if found.f_bavail * found.f_frsize < ROOM:
        raise PartFailed(f"cassandra starts when {home} has {ROOM >> 20} MiB free: make room on that disk")


def _configure(conf: Path, data: Path, ports: Ports) -> None:
    conf.mkdir(parents=True, exist_ok=True)
    ours = files("chattifier.parts")
    template = Template(ours.joinpath("cassandra.yaml").read_text())
    values = {"host": HOST, "port": ports.cassandra, "storage_port": ports.cassandra_storage, "data": data}
    (conf / "cassandra.yaml").write_text(template.substitute(values))
    (conf / "logback.xml").write_text(ours.joinpath("cassandra-logback.xml").read_text())


def _argv(home: Path, cache: Cache) -> tuple[str, ...]:
    jars = [cache.path(artifact) for artifact in pinned("cassandra")]
    agent = next(jar for jar in jars if jar.name.startswith("jamm-"))
    required = files("chattifier.parts").joinpath("cassandra.jvm").read_text().splitlines()
    properties = {**SYSTEM_PROPERTIES, "cassandra.storagedir": str(home), "cassandra.logdir": str(home)}
    return (
        str(java()),
        *("-Xms256m", "-Xmx512m", "-XX:MaxDirectMemorySize=256m", "-XX:+UseSerialGC"),
        *MODEST_COMPILERS,
        *(option for option in required if option and not option.startswith("#")),
        f"-javaagent:{agent}",
        *(f"-D{name}={value}" for name, value in properties.items()),
        "-cp",
        ":".join(str(path) for path in (home / "conf", *jars)),
        "org.apache.cassandra.service.CassandraDaemon",
    )


def _speaks_cql(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=0.5) as connection:
            connection.settimeout(1.0)
            connection.sendall(OPTIONS_FRAME)
            header = connection.recv(9)
            return len(header) > 4 and header[4] == SUPPORTED
    except OSError:
        return False

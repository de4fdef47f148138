"""Cassandra, from its jars: configuration, JVM options, and the question whether it answers."""

from __future__ import annotations

import socket
from importlib.resources import files
from pathlib import Path
from string import Template

from chattifier.artifacts import pinned
from chattifier.downloads import Cache
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
    )


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

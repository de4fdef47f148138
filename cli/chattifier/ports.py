"""The ports of a stack: which part listens where, and whether they are free."""

from __future__ import annotations

import contextlib
import errno
import socket

import psutil
from pydantic import BaseModel, ConfigDict

from chattifier.errors import PortBusy

HOST = "127.0.0.1"


class Ports(BaseModel):
    """A port for every listener of the stack, all on the loopback address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis: int = 6379
    cassandra: int = 9042
    pulsar: int = 6650
    pulsar_web: int = 8080
    auth: int = 8081
    cassandra_storage: int = 7000
    bookie: int = 3181
    web: int = 8088
    edge: int = 8000
    gateways: tuple[int, ...] = (8001, 8002)

    @classmethod
    def plan(cls, base: int | None, gateways: int) -> Ports:
        """The usual ports, or `base`, `base + 1`, ... The gateways come last, so their number moves no other port."""
        if base is None:
            return cls(gateways=tuple(range(8001, 8001 + gateways)))
        fixed = [name for name in cls.model_fields if name != "gateways"]
        first_gateway = base + len(fixed)
        single = {name: base + index for index, name in enumerate(fixed)}
        return cls(**single, gateways=tuple(range(first_gateway, first_gateway + gateways)))

    def of(self, part: str) -> dict[str, int]:
        """The listeners of one part, by a name for people."""
        single = {
            "redis": {"redis": self.redis},
            "cassandra": {"cassandra": self.cassandra, "cassandra (storage)": self.cassandra_storage},
            "pulsar": {"pulsar": self.pulsar, "pulsar (admin)": self.pulsar_web, "pulsar (bookie)": self.bookie},
            "auth": {"auth": self.auth},
            "web": {"web": self.web},
            "edge": {"edge": self.edge},
        }
        if part in single:
            return single[part]
        numbered = {f"gateway-{number}": port for number, port in enumerate(self.gateways, start=1)}
        return {part: numbered[part]} if part in numbered else {}


def check_free(listeners: dict[str, int]) -> None:
    """Raise PortBusy for the first port that is taken, naming port, part and, if it can be found, the process."""
    for part, port in listeners.items():
        if not _is_free(port):
            raise PortBusy(
                f"Port {port}, wanted by {part}, is in use{_holder(port)}. "
                "Stop that process, or move the whole stack with --port-base."
            )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise PortBusy(f"Port {port} cannot be used: {error.strerror}. Choose others with --port-base.") from error
    return True


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.laddr
                and connection.laddr.port == port
                and connection.status == psutil.CONN_LISTEN
                and connection.pid
            ):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return " by another process"


def answers(port: int) -> bool:
    """Whether something accepts connections on a port."""
    try:
        with socket.create_connection((HOST, port), timeout=0.5):
            return True
    except OSError:
        return False

"""The network between two parts of a stack, to be cut, made lossy, or made long. Other parts do not notice.

All of a stack is on the loopback of one machine, so a packet's ports say which server it comes from or goes to. Which
client, its socket says: a client's processes are put into a control group of their own, and iptables tells sockets by
the group in which they were made; connections that are older than that, by their ports. Rules are in chains of their
own, about ports of this stack alone. A shell waits for our end, however we end, and takes them away.

What a client sends is only marked where it leaves, and lost where it arrives: of a packet that is dropped as it leaves
the sender's kernel knows, and tries again soon, where a network would have it wait ever longer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import psutil

from tests.faults.held_packets import HeldPackets
from tests.running_stack import Stack

Way = Literal["both", "there", "back"]
"""Packets of client and server, only those of the client, only those of the server."""
CHAIN: Final = "CHATTIFIER_TESTS"
CLIENTS: Final = "clients"
"""The people: this process."""
FUNCTIONS: Final = ("chat-router", "message-store", "archive")
CUT: Final = "-j DROP"
LOSSY: Final = "-m statistic --mode random --probability 0.05 -j DROP"
MARK: Final = "0x200000/0x200000"
"""The bit of packets of a client, from where they leave to where they arrive."""
QUEUE: Final = 25_000
"""Of the kernel's packet queues that for packets on a long way."""
_CLEAN_UP: Final = f"""
cat
for hook in INPUT OUTPUT; do iptables -w -D $hook -p tcp -j {CHAIN}_$hook; iptables -w -F {CHAIN}_$hook
iptables -w -X {CHAIN}_$hook; done
rmdir "$1"/* "$1"
"""


class Unavailable(Exception):
    """This machine has no network that we could break. Says why."""


@dataclass(frozen=True)
class Link:
    """`client` opens connections to `server`. Both are names of parts; `gateway` and `functions` are all of them."""

    client: str
    server: str

    def __str__(self) -> str:
        return f"{self.client} - {self.server}"


class Network:
    """The network of a stack; whole, unless it says otherwise."""

    def __init__(self, stack: Stack, groups: Path) -> None:
        self._stack = stack
        self._groups = groups

    @contextmanager
    def cut(self, link: Link, way: Way = "both") -> Iterator[None]:
        """No packet passes; nobody is told."""
        with self._broken(link, way, CUT):
            yield

    @contextmanager
    def lossy(self, link: Link) -> Iterator[None]:
        """One packet in twenty is lost, at random."""
        with self._broken(link, "both", LOSSY):
            yield

    @contextmanager
    def long(self, link: Link, delay: float) -> Iterator[None]:
        """Every packet takes so many seconds longer, each way. Raises OSError: see `check_queues`."""
        with (
            HeldPackets(QUEUE, delay),
            self._broken(link, "both", f"-j NFQUEUE --queue-num {QUEUE} --queue-bypass"),
        ):
            yield

    @contextmanager
    def gone(self, connections: Iterable[tuple[int, int]]) -> Iterator[None]:
        """These connections (the ports of client and server) are half open: no packet passes on them any more."""
        with _ruled(_of_connections(connections), "both", CUT):
            yield

    @contextmanager
    def _broken(self, link: Link, way: Way, target: str) -> Iterator[None]:
        pids, ports = self._pids(link.client), self._ports(link.server)
        with self._grouped(link.client, pids) as group:
            older = [(client, port) for port in ports for client in _connected(pids, port)]
            with _ruled([*_of_group(group, ports), *_of_connections(older)], way, target):
                yield

    def _pids(self, part: str) -> list[int]:
        if part == CLIENTS:
            return [os.getpid()]
        names = FUNCTIONS if part == "functions" else (part,)
        return [pid for name in names for pid in self._stack.workers(name)]

    def _ports(self, server: str) -> list[int]:
        places = {
            "redis": [self._stack.redis.url],
            "pulsar": [self._stack.pulsar.service_url],
            "cassandra": [f"cql://{self._stack.cassandra.host}:{self._stack.cassandra.port}"],
            "gateways": self._stack.gateways,
            "auth": [self._stack.auth],
        }
        return [port for place in places[server] if (port := urlsplit(place).port) is not None]

    @contextmanager
    def _grouped(self, name: str, pids: Sequence[int]) -> Iterator[Path]:
        """A control group of these processes for a while; sockets made in it belong to it for ever."""
        group = self._groups / name
        group.mkdir(exist_ok=True)
        homes = {pid: _home(pid, self._groups) for pid in pids}
        _move(dict.fromkeys(pids, group))
        try:
            yield group
        finally:
            _move(homes)


@contextmanager
def network(stack: Stack) -> Iterator[Network]:
    """To be broken for a while. Raises Unavailable."""
    groups = _control_groups() / f"chattifier-tests-{os.getpid()}"
    _check_tools()
    try:
        groups.mkdir()
    except OSError as error:
        raise Unavailable(f"control groups cannot be made here: {error}") from error
    cleaner = subprocess.Popen(
        ("sh", "-c", _CLEAN_UP, "sh", str(groups)), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _restore([f"-I {hook} -p tcp -j {CHAIN}_{hook}" for hook in _WAYS], chains=True)
        yield Network(stack, groups)
    finally:
        assert cleaner.stdin is not None
        cleaner.stdin.close()
        cleaner.wait(30)


_WAYS: Final[dict[str, Way]] = {"OUTPUT": "there", "INPUT": "back"}
"""Where packets of each way are told by the socket they belong to, the client's."""


@contextmanager
def _ruled(matches: Iterable[tuple[str, str]], way: Way, target: str) -> Iterator[None]:
    """What matches, at its hook, meets with `target` where it arrives. It must be some packets."""
    chosen = [(hook, match) for hook, match in matches if way in ("both", _WAYS[hook])]
    there = [f"-A {CHAIN}_OUTPUT {match} -j MARK --set-xmark {MARK}" for hook, match in chosen if hook == "OUTPUT"]
    back = [f"-A {CHAIN}_INPUT {match} {target}" for hook, match in chosen if hook == "INPUT"]
    _restore([*there, *([f"-A {CHAIN}_INPUT -m mark --mark {MARK} {target}"] if there else []), *back])
    try:
        yield
    finally:
        met = _met()
        _restore(f"-F {CHAIN}_{hook}" for hook in _WAYS)
    assert met, "no packet was there to be met: the network was never broken"


def _of_group(group: Path, ports: Iterable[int]) -> Iterator[tuple[str, str]]:
    place = group.relative_to(_control_groups())
    for port in ports:
        yield "OUTPUT", f"-p tcp --dport {port} -m cgroup --path {place}"
        yield "INPUT", f"-p tcp --sport {port} -m cgroup --path {place}"


def _of_connections(connections: Iterable[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """`connections`: the ports of client and server. A packet may match here and above: it meets with the first."""
    for client, server in connections:
        yield "OUTPUT", f"-p tcp --sport {client} --dport {server}"
        yield "INPUT", f"-p tcp --sport {server} --dport {client}"


def _connected(pids: Iterable[int], port: int) -> Iterator[int]:
    """The ports from which these processes are connected to a server's."""
    for pid in pids:
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.raddr and connection.raddr.port == port:
                yield connection.laddr.port


def _restore(lines: Iterable[str], *, chains: bool = False) -> None:
    """All rules at once: a network that is half cut is another fault."""
    head = [f":{CHAIN}_{hook} - [0:0]" for hook in _WAYS] if chains else []
    text = "\n".join(("*filter", *head, *lines, "COMMIT", ""))
    done = subprocess.run(("iptables-restore", "-w", "--noflush"), input=text, text=True, capture_output=True)  # noqa: PLW1510
    if done.returncode:
        raise Unavailable(f"iptables does not take our rules: {done.stderr.strip()}")


def _met() -> int:
    """How many packets have met with a target where they arrived."""
    lines = subprocess.check_output(("iptables", "-w", "-nvxL", f"{CHAIN}_INPUT"), text=True).splitlines()[2:]
    return sum(int(line.split()[0]) for line in lines)


def check_queues() -> None:
    """Raises Unavailable where the kernel hands no packets to programs."""
    try:
        with HeldPackets(QUEUE, 0.0):
            return
    except OSError as error:
        raise Unavailable(str(error)) from error


def _check_tools() -> None:
    if os.geteuid():
        raise Unavailable("only root can break the network")
    if shutil.which("iptables-restore") is None:
        raise Unavailable("iptables is not installed")


def _control_groups() -> Path:
    """The root of the (second) control groups. Raises Unavailable."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise Unavailable("there is no cgroup2 file system")


def _home(pid: int, groups: Path) -> Path:
    """The group in which a process is."""
    own = next(line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))
    return groups.parent / own.removeprefix("0::/")


def _move(homes: dict[int, Path]) -> None:
    for pid, home in homes.items():
        try:
            (home / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            continue  # it has ended meanwhile

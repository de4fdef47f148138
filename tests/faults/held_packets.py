"""Packets that the kernel hands to us (iptables' NFQUEUE), and gets back a while later: a long cable.

The few words of netlink that it takes are spoken here: what PyPI has needs a C library of the system.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

NETLINK_NETFILTER: Final = 12
SUBSYSTEM: Final = 3
"""NFNL_SUBSYS_QUEUE; the low byte is one of the four below."""
PACKET, CONFIG, VERDICTS = 0, 2, 3
REQUEST, ACKNOWLEDGE = 1, 4
ERROR: Final = 2
"""NLMSG_ERROR, which is also the acknowledgement: error 0."""
COMMAND, PARAMETERS, LONGEST = 1, 2, 3
"""NFQA_CFG_..."""
BIND, META = 1, 1
PACKET_HEADER, VERDICT_HEADER = 1, 2
ACCEPT: Final = 1
MOST: Final = 100_000
"""Packets held at once; more are lost."""


class HeldPackets:
    """Takes the packets of one queue in the order in which they come, and lets each go `delay` seconds later."""

    def __init__(self, queue: int, delay: float) -> None:
        """Raises OSError where the kernel has no such queues, or somebody else reads this one."""
        self.count = 0
        """Packets so far."""
        self._queue = queue
        self._delay = delay
        self._over = threading.Event()
        self._held: deque[tuple[float, int]] = deque()
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        self._netlink.bind((0, 0))
        self._configure(COMMAND, struct.pack("!BxH", BIND, socket.AF_INET))
        self._configure(PARAMETERS, struct.pack("!IB", 0, META))
        self._configure(LONGEST, struct.pack("!I", MOST))
        self._thread = threading.Thread(target=self._run, name="held packets", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _it: BaseException | None, _at: TracebackType | None) -> None:
        """What is still held is let go at once."""
        self._over.set()
        self._thread.join()
        self._netlink.close()

    def _run(self) -> None:
        while not self._over.is_set():
            wait = self._held[0][0] - time.monotonic() if self._held else self._delay
            if select.select([self._netlink], [], [], min(max(wait, 0.0), 0.1))[0]:
                self._take()
            self._let_go(time.monotonic())
        self._let_go(float("inf"))

    def _take(self) -> None:
        due = time.monotonic() + self._delay
        for kind, body in _messages(self._netlink.recv(1 << 20)):
            if kind == SUBSYSTEM << 8 | PACKET:
                self._held.append((due, _packet(body)))
                self.count += 1

    def _let_go(self, now: float) -> None:
        last = None
        while self._held and self._held[0][0] <= now:
            _, last = self._held.popleft()
        if last is not None:  # and with it all before it
            self._say(VERDICTS, 0, VERDICT_HEADER, struct.pack("!II", ACCEPT, last))

    def _configure(self, what: int, value: bytes) -> None:
        self._say(CONFIG, ACKNOWLEDGE, what, value)
        for kind, body in _messages(self._netlink.recv(65536)):
            code = -struct.unpack_from("=i", body)[0] if kind == ERROR else 0
            if code:
                raise OSError(code, f"the kernel does not give us packet queue {self._queue}")

    def _say(self, message: int, flags: int, attribute: int, value: bytes) -> None:
        body = struct.pack("!BBH", socket.AF_UNSPEC, 0, self._queue) + _attribute(attribute, value)
        kind = SUBSYSTEM << 8 | message
        self._netlink.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, 0, 0) + body)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        size, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:size]
        data = data[(size + 3) & ~3 :]


def _packet(body: bytes) -> int:
    """The number of a packet: its header is the first attribute, behind four bytes."""
    size, kind = struct.unpack_from("=HH", body, 4)
    assert (size, kind) == (11, PACKET_HEADER), "the kernel speaks of a packet in another way"
    number: int = struct.unpack_from("!I", body, 8)[0]
    return number

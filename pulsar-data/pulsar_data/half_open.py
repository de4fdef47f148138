"""Connections whose other end is gone without a word, and libraries that would wait for it ever longer.

Where nothing is acknowledged the kernel sends again after twice as long each time: a network that comes back after half
a minute is noticed after 51 s. Pulsar's client finds out no sooner, and cannot be told to from Python. A connection
that the kernel gives up it opens again within seconds.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Final

GIVEN_UP: Final = 10.0
"""Seconds without an acknowledgement of what was sent; as often Pulsar's broker asks whether a client is there."""
LOOK: Final = 5.0
"""Seconds between two looks at which connections there are."""
OPEN_FILES: Final = "/proc/self/fd"


@cache
def bound_ours() -> None:
    """From now on no TCP connection of this process waits for longer, five seconds after it was opened; in a thread.

    Once is enough: further calls do nothing.
    """
    threading.Thread(target=_keep_bounding, name="half-open", daemon=True).start()


def _keep_bounding() -> None:
    bounds = Bounds(GIVEN_UP)
    while True:
        with suppress(OSError):  # no descriptor is left, for now
            bounds.look()
        time.sleep(LOOK)


class Bounds:
    """What is bounded already. `seconds`: see GIVEN_UP. A connection that has another bound keeps it.

    The bound is on what was sent and not acknowledged, and on a peer that takes nothing more: one whose process stands
    still is not given up before its kernel's buffers are full.
    """

    def __init__(self, seconds: float) -> None:
        self._milliseconds = round(seconds * 1000)
        self._seen: dict[int, int] = {}

    def look(self) -> None:
        """Bound those that were opened since the last look."""
        seen = {}
        for name in os.listdir(OPEN_FILES):  # noqa: PTH208  a gateway has thousands
            descriptor = int(name)
            if (inode := _socket(descriptor)) is not None:
                seen[descriptor] = inode
                if self._seen.get(descriptor) != inode:
                    self._bound(descriptor)
        self._seen = seen

    def _bound(self, descriptor: int) -> None:
        try:
            connection = socket.socket(fileno=descriptor)  # asks the kernel what it is
        except OSError:  # closed meanwhile
            return
        try:
            tcp = connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM
            listens = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if tcp and not listens and not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._milliseconds)
        except OSError:
            return
        finally:
            connection.detach()  # it is another's


def _socket(descriptor: int) -> int | None:
    """Which socket it is, if it is one."""
    try:
        found = os.fstat(descriptor)
    except OSError:  # it was the listing itself, or is closed meanwhile
        return None
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else None

"""Many sockets in one process, as light as can be: what the load costs must not be taken for what the gateway costs.

It speaks just enough of the WebSocket and Centrifuge protocols to connect, send, answer pings and read pushes. That the
gateway is right towards real clients is for other tests to say.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic_core import to_json

from tests.load.errors import LoadFailed

PING = b"{}"
WAIT = 60.0
"""Seconds for one connection to be open, on a busy machine."""
AGAIN = 0.5
"""Seconds before a refused connect is tried again."""
AT_ONCE = 20
"""Connections on their way at the same time."""
OnLine = Callable[[bytes], None]
Subs = Mapping[str, Mapping[str, object]]
"""Positions to go on from, by channel."""


@dataclass(frozen=True)
class Seat:
    """Where somebody sits: the address of a gateway, and their token."""

    gateway: str
    token: str


class Socket(asyncio.Protocol):
    """One connection. `opened` ends with the answer to connect; every later line goes to `on_line`."""

    def __init__(self, seat: Seat, on_line: OnLine, subs: Subs) -> None:
        self._seat = seat
        self._subs = subs
        self._on_line = on_line
        self._buffer = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.ended: str | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        address = urlsplit(self._seat.gateway)
        transport.write(
            f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._buffer = self._buffer + data if self._buffer else data
        if not self._upgraded and not self._upgrade():
            return
        for payload in self._frames():
            for line in payload.split(b"\n"):
                self._line(line)

    def _upgrade(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        status = head.partition(b"\r\n")[0]
        if b" 101 " not in status:
            self._fail(f"the gateway answered {status.decode(errors='replace')}")
            return False
        self._buffer, self._upgraded = rest, True
        self.send(to_json({"id": 1, "connect": {"token": self._seat.token, "subs": self._subs}}))
        return True

    def _frames(self) -> Iterator[bytes]:
        """Whole text frames; a server neither masks nor, here, fragments."""
        data, at = self._buffer, 0
        while len(data) - at >= 2:
            start, end = _extent(data, at)
            if len(data) < end:
                break
            kind, at = data[at] & 0x0F, end
            if kind == 8:
                self._fail(f"closed by the gateway: {data[start + 2 : at].decode(errors='replace')}")
            elif kind == 1:
                yield data[start:at]
        self._buffer = data[at:]

    def _line(self, line: bytes) -> None:
        if line == PING:
            self.send(PING)
        elif self.opened.done():
            self._on_line(line)
        else:
            self.opened.set_result(line)

    def send(self, payload: bytes) -> None:
        """One text frame, masked with zeros: the mask protects proxies, and here are none."""
        assert self._transport is not None
        size = len(payload)
        short = size < 126
        head = struct.pack("!BB4x", 0x81, 0x80 | size) if short else struct.pack("!BBH4x", 0x81, 0x80 | 126, size)
        self._transport.write(head + payload)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._fail("the connection was cut")
        if not self.lost.done():
            self.lost.set_result(None)

    def _fail(self, reason: str) -> None:
        self.ended = self.ended or reason
        if not self.opened.done():
            self.opened.set_exception(LoadFailed(f"A connection to {self._seat.gateway} did not open: {reason}."))

    def close(self) -> None:
        """Without ceremony."""
        if self._transport is not None:
            self._transport.abort()


def _extent(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` starts and ends; the end is beyond the data if the head is not whole."""
    size, start = data[at + 1], at + 2
    if size < 126:
        return start, start + size
    form = "!H" if size == 126 else "!Q"
    payload = start + struct.calcsize(form)
    return payload, payload + (struct.unpack_from(form, data, start)[0] if len(data) >= payload else 0)


async def connect(seat: Seat, on_line: OnLine, welcome: OnLine = lambda answer: None) -> Socket:
    """An open connection; tried again while the gateway says that its trouble is temporary. Raises LoadFailed.

    `welcome` gets the answer to its connect.
    """
    try:
        async with asyncio.timeout(WAIT):
            while True:
                socket, answer = await open_once(seat, on_line)
                if b'"connect":' in answer[:40]:
                    welcome(answer)
                    return socket
                socket.close()
                if b'"temporary":true' not in answer:
                    raise LoadFailed(f"{seat.gateway} refused a connection: {answer[:200].decode(errors='replace')}.")
                await asyncio.sleep(AGAIN)
    except (OSError, TimeoutError) as error:
        raise LoadFailed(f"No connection to {seat.gateway}: {error or type(error).__name__}.") from error


async def open_once(seat: Seat, on_line: OnLine, subs: Subs | None = None) -> tuple[Socket, bytes]:
    """A socket, and the answer to its connect. Raises OSError, LoadFailed."""
    address = urlsplit(seat.gateway)
    host, port = address.hostname or "", address.port or 80
    _, socket = await asyncio.get_running_loop().create_connection(
        lambda: Socket(seat, on_line, subs or {}), host, port
    )
    return socket, await socket.opened

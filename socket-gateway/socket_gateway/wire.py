"""uvicorn's WebSocket with a synchronous writer: ready-made frames straight into the transport.

The transport's own buffer is the bounded queue: `write` tells how much of it the client has not taken yet, and the
caller decides what is too much. So there is no queue object and no writer task per socket, nobody ever waits for a
slow reader, and the same bytes serve every member of a room (frames of a server are not masked).
"""

from __future__ import annotations

import errno
import socket
import struct
from asyncio import BufferedProtocol, TimerHandle
from asyncio.transports import BaseTransport
from typing import Final, Protocol, cast

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

WRITER: Final = "chattifier.writer"
LINGER: Final = 3.0
"""Seconds until a connection is cut whose peer does not finish the closing handshake."""
CONTROL: Final = 64 * 1024
"""Unsent bytes above which a peer that sends pings without reading the pongs is cut off."""
FRAGMENTS: Final = 1024
PINGS: Final = 10.0
"""WebSocket pings and pongs that a peer may send each second, `PINGS_BURST` at once. We send none, and SDKs few."""
PINGS_BURST: Final = 50
PIECE: Final = 16 * 1024
"""Bytes read at once. Left to itself asyncio reads 256 KiB, two thousand commands, of each socket that has them, before
anybody else gets a turn."""
STALLED: Final = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)
"""What the kernel says of a connection that it gave up; the latter two if a router has told it why."""
REFUSED: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
"""To a handshake with headers too long, or too many of them."""


class Writer(Protocol):
    """The outgoing half of one socket."""

    def write(self, frame: bytes) -> int:
        """Write a ready-made frame; returns the bytes that are still unsent. A closed socket takes none: 0."""

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""

    @property
    def stalled(self) -> bool:
        """Whether the connection was aborted, as the client's side took nothing of what it was owed for too long."""

    def end(self, code: int, reason: str, linger: float, *, deaf: bool = False, held: bool = False) -> None:
        """Send the close frame behind what is already written; cut the connection `linger` seconds later.

        `deaf`: until then read no more of it, whatever it sends. `held`: not even then end our half of it.
        """

    def cut_off(self) -> None:
        """Forget what is unsent, and be gone."""


def text_frame(payload: bytes) -> bytes:
    """A complete WebSocket text frame of a server."""
    return _frame(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """A complete WebSocket binary frame of a server."""
    return _frame(0x82, payload)


def _frame(kind: int, payload: bytes) -> bytes:
    """RFC 6455, 5.2, without masking."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", kind, size) + payload
    if size < 65536:
        return struct.pack("!BBH", kind, 126, size) + payload
    return struct.pack("!BBQ", kind, 127, size) + payload


def payload(frame: bytes) -> bytes:
    """What such a frame holds."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


class Socket(WebSocketsSansIOProtocol, BufferedProtocol):
    """The class for uvicorn's `ws=`. The writer is in `scope["extensions"][WRITER]`."""

    piece = memoryview(bytearray(PIECE))
    """One for all: what is read is taken out of it at once."""
    cut: TimerHandle | None = None
    kernel_buffer = 256 * 1024
    """Bytes; see settings.Limits.kernel. uvicorn makes these objects itself, so a subclass carries the setting."""
    stall = 10.0
    """Seconds; see settings.Limits.stall."""
    stalled = False
    """See Writer."""
    pings = 0.0
    pinged = 0.0
    """How many there are of a bucket that leaks, and as of when."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Bounds what the kernel holds for this socket as well, in either direction, and for how long.

        A peer that is gone without a word, and one that does not read, leave bytes unacknowledged or a window closed:
        the kernel knows since when, and needs no timer of ours for each socket.
        """
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.kernel_buffer)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.kernel_buffer)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self.stall * 1000))

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self.stalled = isinstance(exc, OSError) and exc.errno in STALLED
        if self.cut is not None:
            self.cut.cancel()
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next piece is to be read into."""
        return self.piece

    def buffer_updated(self, nbytes: int) -> None:
        """A piece has come."""
        self.data_received(bytes(self.piece[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """As inherited; but a handshake that cannot be read is answered, which nobody would do otherwise."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(REFUSED)
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Hands the writer to the application, which starts in the next turn of the loop."""
        super().handle_connect(event)
        if not self.close_sent:
            cast("Scope", self.scope)["extensions"][WRITER] = self

    def write(self, frame: bytes) -> int:
        """See Writer."""
        if self.close_sent or self.transport.is_closing():
            return 0
        self.transport.write(frame)
        return self.transport.get_write_buffer_size()

    @property
    def unsent(self) -> int:
        """See Writer."""
        return self.transport.get_write_buffer_size()

    def end(self, code: int, reason: str, linger: float, *, deaf: bool = False, held: bool = False) -> None:
        """See Writer. Once is enough: a second call does nothing."""
        if self.close_sent or self.transport.is_closing() or self.conn.state is not State.OPEN:
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self._closing(linger, deaf=deaf, held=held)

    def cut_off(self) -> None:
        """See Writer."""
        self.transport.abort()

    def _closing(self, linger: float, *, deaf: bool = False, held: bool = False) -> None:
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.stop_keepalive()
        if deaf:  # what it sends fills its own buffers; the end of our half tells it to go, as its answer is not read
            self.transport.pause_reading()
            self.read_paused = False  # nobody resumes it
            if not held and self.transport.can_write_eof():
                self.transport.write_eof()
        elif self.read_paused:  # the peer's own close frame is still to come
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(linger, self.transport.abort)

    def handle_close(self, event: Frame) -> None:
        """A peer that closes but does not read what it was sent would keep the connection for ever: cut it."""
        super().handle_close(event)
        if self.cut is None:
            self.cut = self.loop.call_later(LINGER, self.transport.abort)

    def handle_ping(self) -> None:
        """Answers, unless the peer lets the answers pile up."""
        if self.transport.is_closing():  # the rest of what was read with the ping that was one too many
            return
        super().handle_ping()
        if self.transport.get_write_buffer_size() > CONTROL:
            self.transport.abort()
        self._count_ping()

    def handle_pong(self, event: Frame) -> None:
        """Nobody has asked for it."""
        self._count_ping()

    def _count_ping(self) -> None:
        """They are no commands, and cost as much: who sends nothing else is cut off."""
        now = self.loop.time()
        self.pings = max(0.0, self.pings - (now - self.pinged) * PINGS) + 1
        self.pinged = now
        if self.pings > PINGS_BURST:
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        """Empty fragments cost a peer nothing and us memory: there is a limit."""
        super().handle_cont(event)
        if len(self.frames) > FRAGMENTS:
            self.frames = []
            self.end(1009, "too many fragments", LINGER)

    def handle_parser_exception(self) -> None:
        """The peer broke the WebSocket protocol or sent too large a frame (1009).

        The connection stays open until the peer has read why: closing at once while it is still sending would reset
        the connection and lose the close frame.
        """
        if self.close_sent or self.conn.close_sent is None:
            return
        sent = self.conn.close_sent
        self.queue.put_nowait({"type": "websocket.disconnect", "code": sent.code, "reason": sent.reason})
        self._closing(LINGER)

    def send_receive_event_to_app(self) -> None:
        """As inherited, but text stays bytes: the parser checks its UTF-8 anyway, and copies nothing."""
        data = b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

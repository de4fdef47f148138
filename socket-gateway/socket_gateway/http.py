"""uvicorn's HTTP with a clock: a request, which a handshake is as well, must be there whole in time."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

COMING: Final = (h11.IDLE, h11.SEND_BODY)
"""States of a client whose request is still to come, or has come in part."""


class Http(H11Protocol):
    """The class for uvicorn's `http=`, which by itself waits for the rest of a request for ever."""

    patience = 10.0
    """Seconds; see settings.Limits.request. uvicorn makes these objects itself, so a subclass carries the setting."""
    cut: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """The clock starts."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """It stops when the request is whole."""
        super().data_received(data)
        if self.conn.their_state not in COMING:
            self._done()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """A socket has clocks of its own."""
        self._done()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """The next request has as long."""
        super().on_response_complete()
        self._done()
        if self.conn.their_state in COMING and not self.transport.is_closing():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._done()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self.cut = self.loop.call_later(self.patience, self.transport.abort)

    def _done(self) -> None:
        if self.cut is not None:
            self.cut.cancel()
            self.cut = None

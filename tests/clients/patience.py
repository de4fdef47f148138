"""Asking again what fails for the moment only, for clients that want an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from tests.clients.socket import ErrorReply, Gone, Socket

WITHIN = 30.0
"""Seconds for whatever must happen: machines are slow at times."""


async def let_in(gateway: str, request: Mapping[str, Any]) -> Socket:
    """An open socket. Raises ErrorReply for good reasons, or what was wrong when time was over."""
    deadline = time.monotonic() + WITHIN
    while True:
        try:
            return await Socket.open(gateway, request)
        except (Gone, ErrorReply) as error:
            if time.monotonic() > deadline or (isinstance(error, ErrorReply) and not error.temporary):
                raise
            await asyncio.sleep(0.2)


async def call(socket: Socket, method: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Call a method. Raises ErrorReply; Gone at once: the socket is."""
    deadline = time.monotonic() + WITHIN
    while True:
        try:
            return await socket.rpc(method, data)
        except ErrorReply as error:
            if not error.temporary or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)

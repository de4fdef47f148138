"""The running process: listen, work, and leave in order on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn

from pulsar_data import half_open
from socket_gateway.app import create_app
from socket_gateway.gateway import Gateway
from socket_gateway.http import Http
from socket_gateway.settings import Settings
from socket_gateway.wire import Socket

BACKLOG = 2048


class _Listener(uvicorn.Server):
    """uvicorn without its signal handlers: it would close every socket at once with 1012."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours."""
        yield

    def deaf(self) -> None:
        """Accept no more."""
        for server in self.servers:
            server.close()


def bind(host: str, port: int) -> socket.socket:
    """The listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Accepted sockets inherit it. asyncio sets it only where a socket's protocol is given as TCP, and here it is 0.
    # Without it a reply right behind a push waits for the peer's delayed acknowledgement: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def serve(gateway: Gateway, settings: Settings, listening: socket.socket, stop: asyncio.Event) -> None:
    """Until `stop` is set, then drain. Raises whatever ended a part that should not have ended."""
    listener = _Listener(_config(gateway, settings))
    try:
        async with asyncio.TaskGroup() as group:
            working = group.create_task(gateway.run())
            serving = group.create_task(listener.serve(sockets=[listening]))
            await stop.wait()
            listener.deaf()
            await gateway.drain()
            listener.should_exit = True
            await serving
            working.cancel()
        await gateway.close()
    finally:
        await asyncio.to_thread(gateway.traces.close)


async def serve_until_signal(settings: Settings, listening: socket.socket) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    half_open.bound_ours()
    await serve(Gateway(settings), settings, listening, stop)


def _config(gateway: Gateway, settings: Settings) -> uvicorn.Config:
    class Bounded(Socket):
        kernel_buffer = settings.limits.kernel
        stall = settings.limits.stall

    class Timely(Http):
        patience = settings.limits.request

    return uvicorn.Config(
        create_app(gateway),
        http=Timely,
        ws=Bounded,
        ws_max_size=settings.limits.frame,
        ws_per_message_deflate=False,  # doubles the CPU time and triples the memory of a connection
        ws_ping_interval=None,  # the protocol has its own pings
        lifespan="off",  # the gateway's tasks live in the TaskGroup beside the server: if one fails, all end
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=round(settings.limits.linger) + 1,
    )

"""`python -m socket_gateway`: settings from the environment, exit code 0 after a clean stop, 1 if a part has failed."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import NoReturn

import structlog

from pulsar_data.traces import unseen

with unseen():
    from socket_gateway import logs, server
    from socket_gateway.settings import Settings


def main() -> None:
    """The entry point."""
    try:
        settings = Settings.of(os.environ)
    except ValueError as error:
        sys.exit(f"socket gateway: {error}")
    logs.configure()
    try:
        listening = server.bind(settings.host, settings.port)
    except OSError as error:
        sys.exit(f"socket gateway: cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    sys.excepthook = _failed
    asyncio.run(server.serve_until_signal(settings, listening))
    _leave(0)


def _failed(_kind: type[BaseException], error: BaseException, _places: object) -> None:
    structlog.get_logger().critical("gateway_failed", exc_info=error)
    _leave(1)


def _leave(code: int) -> NoReturn:
    """Without taking the interpreter apart: all that must be is closed, and spans are exported.

    Threads of Pulsar's library outlive its client for a moment, and whatever they say goes through Python's logging.
    One that says it while the interpreter ends aborts the process: one in twenty (pulsar-client-python, issue 256).
    """
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()

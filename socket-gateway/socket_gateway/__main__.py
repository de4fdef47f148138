"""`python -m socket_gateway`: settings from the environment, exit code 0 after a clean stop."""

from __future__ import annotations

import asyncio
import os
import sys

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
    asyncio.run(server.serve_until_signal(settings, listening))


if __name__ == "__main__":
    main()

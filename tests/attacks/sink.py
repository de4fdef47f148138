"""A server that takes whatever is sent to it: `python -m tests.attacks.sink`. Prints its address, `ws://host:port/`.

For the quiet half of a comparison: the program that floods takes its share of the machine there as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from tests.attacks.flood import stand_back

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
PIECE = 1 << 16


async def _take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.write(ACCEPTED)
        while await reader.read(PIECE):
            pass
    writer.close()


async def main() -> None:
    """Until its standard input ends."""
    stand_back()
    server = await asyncio.start_server(_take, "127.0.0.1", 0)
    print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    async with server:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

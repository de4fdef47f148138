"""A program that floods a gateway from many sockets: `python -m tests.attacks.flood`. It comes back when it is closed.

Told on standard input: first a line of JSON, then `go` and `stop`, and `end`. After each `stop` it prints what it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
from collections import Counter
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pulsar_data.ids import new_key
from tests.attacks.house import now

RATE: Final = 1000
"""Commands a second that each socket means to send."""
TURN: Final = 0.05
BACK: Final = 0.2
"""Seconds before a socket that was closed is back."""
HANDSHAKE: Final = (
    "GET {path} HTTP/1.1\r\nHost: {netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def _frame(payload: bytes) -> bytes:
    """Masked with zeros: the cheapest for whoever sends thousands."""
    head = (
        struct.pack("!BB", 0x81, 0x80 | len(payload))
        if len(payload) < 126
        else struct.pack("!BBH", 0x81, 0x80 | 126, len(payload))
    )
    return head + bytes(4) + payload


class Flood:
    """Sockets of these tokens, one each."""

    def __init__(self, url: str, tokens: list[str], room: str) -> None:
        self._place = urlsplit(url)
        self._tokens = tokens
        self._room = room
        self._open = asyncio.Event()
        self._seen: Counter[str] = Counter()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for token in self._tokens:
                tasks.create_task(self._again(token))

    def go(self) -> None:
        """Flood from now on."""
        self._open.set()

    def stop(self) -> Counter[str]:
        """Be silent; what was done since the last time."""
        self._open.clear()
        seen, self._seen = self._seen, Counter()
        return seen

    async def _again(self, token: str) -> None:
        while True:
            try:
                await self._visit(token)
            except (OSError, asyncio.IncompleteReadError):
                self._seen["cut"] += 1
            await asyncio.sleep(BACK)

    async def _visit(self, token: str) -> None:
        await self._open.wait()
        reader, writer = await asyncio.open_connection(self._place.hostname, self._place.port)
        try:
            writer.write(HANDSHAKE.format(path=self._place.path, netloc=self._place.netloc).encode())
            await reader.readuntil(b"\r\n\r\n")  # what comes before is not for the socket
            writer.write(_frame(json.dumps({"id": 1, "connect": {"token": token}}).encode()))
            self._seen["connects"] += 1
            sending = asyncio.create_task(self._send(writer))
            try:
                while data := await reader.read(1 << 16):
                    self._seen["refused"] += data.count(b'"code":111')
                    self._seen["done"] += data.count(b'"duplicate"')
                    self._seen["closed for it"] += data.count(struct.pack("!H", 3013) + b"too many")
            finally:
                sending.cancel()
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        number = 1
        while not writer.is_closing():
            await self._open.wait()
            frames = []
            for _ in range(int(RATE * TURN)):
                number += 1
                data = {"room": self._room, "key": new_key(now()), "text": "flood"}
                command = {"id": number, "rpc": {"method": "message.send", "data": data}}
                frames.append(_frame(json.dumps(command).encode()))
            writer.write(b"".join(frames))
            self._seen["sent"] += len(frames)
            await writer.drain()
            await asyncio.sleep(TURN)


def stand_back() -> None:
    """Take from whom it attacks what is sent, and of their processor only what is idle: attackers have their own."""
    os.setsid()  # where the kernel shares the processor out by sessions, priorities count only within one
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


async def main() -> None:
    """As the module says."""
    stand_back()
    loop = asyncio.get_running_loop()
    flood = Flood(**json.loads(await loop.run_in_executor(None, sys.stdin.readline)))
    running = asyncio.create_task(flood.run())
    while (line := (await loop.run_in_executor(None, sys.stdin.readline)).strip()) not in ("end", ""):
        if line == "go":
            flood.go()
        else:
            print(json.dumps(flood.stop()), flush=True)
    running.cancel()


if __name__ == "__main__":
    asyncio.run(main())

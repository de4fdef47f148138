"""`chattifier chat` as a process: on a pipe or a terminal, and over a connection that can be cut."""

from __future__ import annotations

import os
import pty
import re
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chattifier import processes

WITHIN = 60.0
PASSWORD = "a long enough password"


class Terminal:
    """A running terminal client. `text` is all that it has shown."""

    def __init__(self, process: subprocess.Popen[bytes], source: int, sink: int) -> None:
        self.text = ""
        self._process = process
        self._source = source
        self._sink = sink

    def type(self, *lines: str) -> None:
        """Write lines."""
        os.write(self._sink, "".join(f"{line}\n" for line in lines).encode())

    def shows(self, pattern: str) -> None:
        """Wait until a regular expression is found in what it shows."""
        deadline = time.monotonic() + WITHIN
        with selectors.DefaultSelector() as ready:
            ready.register(self._source, selectors.EVENT_READ)
            while not re.search(pattern, self.text):
                left = deadline - time.monotonic()
                assert left > 0, f"{pattern} in vain; instead:\n{self.text}"
                if ready.select(left):
                    self._read(pattern)

    def _read(self, pattern: str) -> None:
        try:
            data = os.read(self._source, 65536)
        except OSError:  # what a terminal's other end is when its process has gone
            data = b""
        assert data, f"it ended without {pattern}; instead:\n{self.text}"
        self.text += data.decode(errors="replace")

    def ended(self) -> int:
        """Wait for its exit code. A process does not leave a terminal before what it wrote there has been read."""
        deadline = time.monotonic() + WITHIN
        with selectors.DefaultSelector() as ready, suppress(OSError):
            ready.register(self._source, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if ready.select(0.1):
                    data = os.read(self._source, 65536)
                    if not data:
                        break
                    self.text += data.decode(errors="replace")
        return self._process.wait(WITHIN)


@contextmanager
def chat(data: Path, user: str, *options: str, on_terminal: bool = False) -> Iterator[Terminal]:
    """Run the client on a stack; it is gone at the end."""
    argv = [sys.executable, "-m", "chattifier", "chat", "--user", user, "--data", str(data), *options]
    env = processes.environment(CHATTIFIER_PASSWORD=PASSWORD, TERM="xterm", COLUMNS="200", PYTHONUNBUFFERED="1")
    (ours, its), (source, out) = pty.openpty() if on_terminal else _pipe(), _pipe()
    output = its if on_terminal else out
    process = subprocess.Popen(argv, stdin=its, stdout=output, stderr=output, env=env, start_new_session=True)
    for end in {its, out}:
        os.close(end)
    try:
        yield Terminal(process, ours if on_terminal else source, ours)
    finally:
        process.kill()
        process.wait()
        for end in {ours, source}:
            with suppress(OSError):
                os.close(end)


def _pipe() -> tuple[int, int]:
    """(our end, its end): of its input we have the end to write to, of its output the one to read from."""
    one, other = socket.socketpair()
    return one.detach(), other.detach()


class Cable:
    """A connection to an address that can be cut, and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._mended = threading.Event()
        self._mended.set()
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where to connect instead."""
        port: int = self._listening.getsockname()[1]
        return port

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        self._mended.clear()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self._mended.set()

    def close(self) -> None:
        """End it."""
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                if not self._mended.is_set():
                    here.close()
                    continue
                there = socket.create_connection(self._target)
                self._sockets += [here, there]
                for source, sink in ((here, there), (there, here)):
                    threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.close()

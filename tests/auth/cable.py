"""A cable between the function and a store, that can be cut without a word to either side."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Cable:
    """Carries connections to a place. `cut` makes those that are there silent for good; later ones are carried."""

    def __init__(self, place: tuple[str, int]) -> None:
        self._place = place
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._silent: set[socket.socket] = set()
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """No byte passes on the connections of now, and nobody is told."""
        self._silent |= set(self._ends)

    def close(self) -> None:
        """The end of all."""
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._place)
                self._ends += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source not in self._silent:
                    target.sendall(data)
            if source not in self._silent:
                target.shutdown(socket.SHUT_WR)


@contextmanager
def cable(place: tuple[str, int]) -> Iterator[Cable]:
    """One to a place."""
    ours = Cable(place)
    try:
        yield ours
    finally:
        ours.close()

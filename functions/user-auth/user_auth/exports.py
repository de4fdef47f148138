"""How many may export at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from user_auth.errors import Unavailable
from user_auth.rooms import Rooms
from user_auth.sessions import Sessions
from user_auth.stream import Stream
from user_auth.users import User

AT_ONCE: Final = 2
"""In one process. Each keeps one of few threads for as long as its reader takes; the others are for signing in."""


class Exports:
    """Opens exports. Thread-safe."""

    def __init__(self, sessions: Sessions, rooms: Rooms, clock: Callable[[], int]) -> None:
        self._sessions = sessions
        self._rooms = rooms
        self._clock = clock
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def open(self, user: User) -> Stream:
        """All that is kept of a user. Raises Unavailable where Cassandra does not answer, or others export just now."""
        from user_auth.export import Export  # only who exports waits for its import

        if not self._places.acquire(blocking=False):
            raise Unavailable("Others are exporting just now. Try again shortly.")
        return Stream(Export(self._sessions, self._rooms, self._clock).pieces(user), self._places.release)

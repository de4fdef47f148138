"""What a client did and saw, written down as it happened. Nothing is ever changed or taken back.

All times are seconds of `time.monotonic()` of the process that runs the clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

How = Literal["live", "recovered", "reloaded"]
"""Pushed; given by a reconnect; or read with message.list, after a reconnect that could not recover."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """A message was to be sent. `at`: when it was meant to be, even if the client came to it later."""

    room: str
    key: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Acked:
    """The server has promised to keep it, under these numbers."""

    room: str
    key: str
    seq: int
    offset: int
    duplicate: bool
    at: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no, with an error code that does not go away by trying again."""

    room: str
    key: str
    code: int
    at: float


@dataclass(frozen=True, slots=True)
class Arrived:
    """A gateway has let the client in."""

    gateway: str
    at: float


@dataclass(frozen=True, slots=True)
class Joined:
    """The client is in a room for the first time; whatever has a higher seq must reach it."""

    room: str
    seq: int
    offset: int
    epoch: str
    at: float


@dataclass(frozen=True, slots=True)
class Received:
    """A message has reached the client."""

    room: str
    seq: int
    offset: int
    key: str
    sender: str
    text: str
    at: float
    how: How


@dataclass(frozen=True, slots=True)
class Dropped:
    """A connection has ended: with a close code, or 1006 without one."""

    gateway: str
    code: int
    at: float


Entry = Attempted | Acked | Refused | Arrived | Joined | Received | Dropped
E = TypeVar("E", Attempted, Acked, Refused, Arrived, Joined, Received, Dropped)


@dataclass(slots=True)
class Journal:
    """The log of one client, in order. `user` is whose client it is."""

    client: str
    user: str
    entries: list[Entry] = field(default_factory=list)

    def note(self, entry: Entry) -> None:
        """Add an entry."""
        self.entries.append(entry)

    def of(self, kind: type[E]) -> Iterator[E]:
        """All entries of one kind, in order."""
        return (entry for entry in self.entries if isinstance(entry, kind))

    def absences(self) -> Iterator[float]:
        """Seconds from each end of a connection until the client was let in again."""
        gone: float | None = None
        for entry in self.entries:
            if isinstance(entry, Dropped) and gone is None:
                gone = entry.at
            elif isinstance(entry, Arrived) and gone is not None:
                yield entry.at - gone
                gone = None

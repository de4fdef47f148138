"""One room as a client follows it: its position, and what was received, once and in order.

The client trusts the server: it neither drops repeats nor sorts. Whatever arrives is written down as it came, so that a
server that repeats, skips or swaps is found out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.clients.journal import How, Joined, Journal, Received

Json = Mapping[str, Any]


class Feed:
    """A room. `seq` is that of the last message the client has."""

    def __init__(self, journal: Journal, room: str, position: Json, seq: int) -> None:
        self.room = room
        self.seq = seq
        self._journal = journal
        self._epoch, self._offset = _position(position)
        self._waiting: list[Json] | None = None
        journal.note(Joined(room, seq, self._offset, self._epoch, time.monotonic()))

    @property
    def whole(self) -> bool:
        """Whether nothing is being read again just now."""
        return self._waiting is None

    @property
    def resume(self) -> dict[str, Any] | None:
        """What to ask for when connecting again; None in the middle of a reload, which must begin anew."""
        if not self.whole:
            return None
        return {"recover": True, "epoch": self._epoch, "offset": self._offset}

    def recovered(self, position: Json) -> None:
        """The server gives everything that was missed."""
        for publication in position.get("publications", ()):
            self._apply(publication, "recovered")
        self._epoch, self._offset = _position(position)

    def reloading(self, position: Json) -> None:
        """The server cannot recover: from here on pushes wait until the messages before them have been read."""
        self._epoch, self._offset = _position(position)
        self._waiting = []

    def reloaded(self, messages: Sequence[Json], until: int) -> None:
        """A page of messages that follow `seq`. Those behind `until` will be pushed."""
        for message in messages:
            if message["seq"] <= until:
                self._receive(message, message["sender"], "reloaded")

    def caught_up(self) -> None:
        """The reload is complete: what was pushed meanwhile follows it."""
        waiting, self._waiting = self._waiting or [], None
        for publication in waiting:
            self._apply(publication, "live")

    def pushed(self, publication: Json) -> None:
        """A publication has been pushed."""
        if self._waiting is not None:
            self._waiting.append(publication)
        else:
            self._apply(publication, "live")

    def _apply(self, publication: Json, how: How) -> None:
        event = publication["data"]
        self._offset = publication.get("offset", self._offset)
        if event["type"] == "message_sent":
            self._receive(event, event["actor"], how)

    def _receive(self, message: Json, sender: str, how: How) -> None:
        self.seq = message["seq"]
        self._journal.note(
            Received(
                room=self.room, seq=message["seq"], offset=message["offset"], key=message["key"], sender=sender,
                text=message["text"], at=time.monotonic(), how=how,
            )
        )  # fmt: skip


def _position(subscription: Json) -> tuple[str, int]:
    return subscription.get("epoch", ""), subscription.get("offset", 0)

"""A room as a client holds it: made of pushed and recovered events alone, in the order they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass
class Held:
    """One message, as whoever holds it knows it."""

    sender: str
    text: str
    deleted: bool = False
    edited: bool = False
    reactions: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, message: Json) -> Held:
        """From `message.list`."""
        reactions = {emoji: set(users) for emoji, users in message.get("reactions", {}).items()}
        deleted, edited = message.get("deleted", False), "edited_at" in message
        return cls(message["sender"], message["text"], deleted, edited, reactions)

    def bury(self) -> None:
        """It is deleted."""
        self.text, self.deleted, self.reactions = "", True, {}

    def react(self, user: str, emoji: str) -> None:
        """A reaction more, unless it is there."""
        self.reactions.setdefault(emoji, set()).add(user)

    def unreact(self, user: str, emoji: str) -> None:
        """A reaction less, if it is there."""
        users = self.reactions.get(emoji, set()) - {user}
        self.reactions.pop(emoji, None)
        if users:
            self.reactions[emoji] = users


@dataclass
class Replica:
    """`stale`: it has missed something that nobody will tell it, and must read the room anew."""

    epoch: str = ""
    offset: int = 0
    messages: dict[int, Held] = field(default_factory=dict)
    stale: bool = False

    @property
    def position(self) -> dict[str, Any]:
        """What to ask for when connecting again."""
        return {"recover": True, "epoch": self.epoch, "offset": self.offset}

    def resumed(self, subscription: Json) -> None:
        """The server's answer to a position. Whoever is not recovered has missed something."""
        if subscription.get("recovered"):
            for publication in subscription.get("publications", ()):
                self.take(publication)
        else:
            self.stale = True
        self.entered(subscription)

    def entered(self, subscription: Json) -> None:
        """It is at this position now."""
        self.epoch, self.offset = subscription.get("epoch", ""), subscription.get("offset", 0)

    def take(self, publication: Json) -> None:
        """An event. Raises AssertionError for one that is not the next."""
        if "offset" not in publication:
            return
        event, offset = publication["data"], publication["offset"]
        assert offset == self.offset + 1, f"offset {offset} came behind {self.offset}"
        self.offset = offset
        if not self.stale:
            self._apply(event)

    def _apply(self, event: Json) -> None:
        kind, seq = event["type"], event.get("seq", 0)
        if kind == "message_sent":
            assert seq == len(self.messages) + 1, f"message {seq} came behind {len(self.messages)}"
            self.messages[seq] = Held(event["actor"], event["text"])
        elif kind == "message_edited":
            self.messages[seq].text, self.messages[seq].edited = event["text"], True
        elif kind == "message_deleted":
            self.messages[seq].bury()
        elif kind == "reaction_added":
            self.messages[seq].react(event["actor"], event["emoji"])
        elif kind == "reaction_removed":
            self.messages[seq].unreact(event["actor"], event["emoji"])

    def reload(self, messages: list[Json]) -> None:
        """All messages of the room, read while nothing happens in it."""
        self.messages = {message["seq"]: Held.read(message) for message in messages}
        self.stale = False

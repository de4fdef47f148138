"""What search-index is asked beside what it reads in `events`. Topic `reindex`, keyed by room."""

from __future__ import annotations

from typing import Literal

from pulsar_data.model import Model, Room


class ReindexRoom(Model):
    """Make the index of this room again, from its messages. No answer: it is done when the subscription is empty."""

    type: Literal["reindex_room"] = "reindex_room"
    room: Room

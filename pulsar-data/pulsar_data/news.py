"""News for one user, on all of its devices: what belongs to no room's log. Pushed on `user:<id>`, without an offset."""

from __future__ import annotations

from typing import Literal

from pulsar_data.events import MessageRead
from pulsar_data.model import Evolving, Milliseconds, User


class ProfileChanged(Evolving):
    """What changed of the user's own profile; an empty text is none."""

    type: Literal["profile_changed"] = "profile_changed"
    user: User
    display_name: str | None = None
    bio: str | None = None
    time: Milliseconds


News = MessageRead | ProfileChanged

"""Signals: what is true for a moment only. Topic `signals` (non-persistent), to every gateway; one may be lost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from pulsar_data.model import Evolving, Milliseconds, Room, User


class Typing(Evolving):
    """Somebody writes in a room."""

    type: Literal["typing"] = "typing"
    room: Room
    user: User
    client: str
    time: Milliseconds


class PresenceChanged(Evolving):
    """A user came (`online`) or went. `rooms`: those of its rooms that show presence, as far as its gateway knows.

    `client`: the connection that came or went. One signal for all rooms: gateways know which of them they hold.
    """

    type: Literal["presence_changed"] = "presence_changed"
    user: User
    client: str
    online: bool
    rooms: Annotated[tuple[Room, ...], Field(strict=False)]


Signal = Typing | PresenceChanged
SIGNAL: TypeAdapter[Signal] = TypeAdapter(Annotated[Signal, Field(discriminator="type")])
"""SIGNAL.validate_json(bytes): the only way in. Raises pydantic.ValidationError."""

"""The lines of an export: JSON objects, told apart by `type`. Imported when somebody exports, not at the start."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Line(BaseModel):
    """Times in ms since the epoch. Fields that are None are left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExportBegin(_Line):
    """The first line."""

    type: Literal["begin"] = "begin"
    version: Literal[1] = 1
    time: int


class ExportProfile(_Line):
    """The second line."""

    type: Literal["profile"] = "profile"
    user_id: str
    username: str
    display_name: str
    bio: str
    created_at: int


class ExportSession(_Line):
    """A sign-in on one device."""

    type: Literal["session"] = "session"
    session_id: str
    device: str
    created_at: int
    used_at: int
    expires_at: int


class ExportRoom(_Line):
    """A room that the user is in; the user's messages there follow it."""

    type: Literal["room"] = "room"
    room: str
    kind: str
    name: str | None = None
    topic: str | None = None
    role: str
    joined_at: int


class ExportMessage(_Line):
    """A message that the user sent, as it reads now."""

    type: Literal["message"] = "message"
    room: str
    seq: int
    time: int
    text: str
    edited_at: int | None = None
    reply_to: int | None = None
    mentions: tuple[str, ...] | None = None
    meta: dict[str, Any] | None = None


class ExportEnd(_Line):
    """The last line: an export without it broke off, and is not whole."""

    type: Literal["end"] = "end"
    rooms: int
    messages: int


LINES = (ExportBegin, ExportProfile, ExportSession, ExportRoom, ExportMessage, ExportEnd)

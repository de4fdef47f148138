"""Identifiers that carry meaning: idempotency keys with a time in them, room ids that repeat."""

from __future__ import annotations

import os
import uuid
from typing import Final

from pulsar_data.model import RoomId, UserId

_ROOMS = uuid.UUID("6b0d5c1e-6f0b-5a4e-9a3f-2b1f6f3f9c10")
"""The namespace of room ids. Never change it: the same request must make the same room for ever."""
_EXTERNAL = uuid.UUID("e2a5d0a4-55c5-5d3c-8a67-0f4c7c1f6d21")
"""The namespace of users of external issuers, as unchangeable."""

SYSTEM = UserId("00000000-0000-0000-0000-000000000000")
"""Who acts when the product around us does: above every owner, a member of no room. No person has this id."""

KEY_AHEAD: Final = 5 * 60 * 1000
"""Milliseconds: how far ahead of our clock the time in an idempotency key may be."""


def new_key(now_ms: int) -> str:
    """A fresh UUIDv7 (RFC 9562) of that time: 48 bits of milliseconds, the rest random."""
    raw = bytearray(now_ms.to_bytes(6, "big") + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def key_time(key: str) -> int:
    """The time in a UUIDv7, milliseconds since the epoch. Raises ValueError for any other UUID."""
    if len(key) != 36 or key[14] != "7":
        raise ValueError("the idempotency key must be a UUIDv7")
    return int(key[:8] + key[9:13], 16)


def created_room(creator: UserId, key: str) -> RoomId:
    """The id of the group or channel that this creator makes with this key: created twice is the same room."""
    return RoomId(str(uuid.uuid5(_ROOMS, f"{creator}/{key}")))


def direct_room(one: UserId, other: UserId) -> RoomId:
    """The id of the one direct room of two users, whoever starts it."""
    return RoomId(str(uuid.uuid5(_ROOMS, "/".join(sorted((one, other))))))


def external_user(issuer: str, subject: str) -> UserId:
    """The user id of somebody whom an external issuer knows by that name: the same for ever."""
    return UserId(str(uuid.uuid5(_EXTERNAL, f"{issuer}\n{subject}")))


def external_session(user: UserId) -> str:
    """The one session of such a user: the issuer tells us of no other."""
    return str(uuid.uuid5(_EXTERNAL, user))

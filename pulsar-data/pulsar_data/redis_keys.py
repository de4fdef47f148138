"""Every Redis key. No other prefix exists. `{}` are hash tags: all keys of one room live in one slot.

| key | type | owner | holds |
|---|---|---|---|
| `room:{R}:head` | hash | chat-router | numbers, epoch, run_id, number of owners, kind, name and so on, last message |
| `room:{R}:members` | hash | chat-router | user -> Membership as JSON |
| `room:{R}:banned` | set | chat-router | users who are kept out |
| `room:{R}:recent` | list | chat-router | the last committed events as JSON, oldest first |
| `room:{R}:reactions` | hash | chat-router | `<seq>:<user>`, `<user>` -> reactions, given or taken back, in a day |
| `room:{R}:muted` | hash | chat-router | who left a channel while muted -> until when, ms; 30 days at most |
| `room:{R}:key:<sender>:<key>` | hash | chat-router | numbers first given to an idempotency key, 24 h |
| `room:{R}:gateways` | hash | archive, router, gateways | interest: gateway id -> token |
| `user:<U>:rooms` | hash | archive, router, store | room id -> 1, plus the seeding lease |
| `user:<U>:gateways` | hash | archive, gateways | gateway id -> token |
| `gateways` | sorted set | gateways | gateway id by heartbeat, ms |
| `presence:<U>` | hash | gateways | connected devices: client -> gateway id, which counts while that has a heartbeat |
| `presence:<gateway id>` | hash | gateways | user -> its rooms that show presence: whom to miss if the gateway dies |
| `token-version:<U>` | hash | archive | token version, live sessions, profile; deleted by user-auth at each change |
| `limit:*` | string | user-auth, router | rate limits |
"""

from __future__ import annotations

from pulsar_data.model import RoomId, UserId

GATEWAYS = "gateways"


def head(room: RoomId) -> str:
    """Numbers and facts of a room."""
    return f"room:{{{room}}}:head"


def members(room: RoomId) -> str:
    """Members of a room."""
    return f"room:{{{room}}}:members"


def banned(room: RoomId) -> str:
    """Users who may not become members of a room."""
    return f"room:{{{room}}}:banned"


def recent(room: RoomId) -> str:
    """The last committed events of a room."""
    return f"room:{{{room}}}:recent"


def reactions(room: RoomId) -> str:
    """How often users have reacted."""
    return f"room:{{{room}}}:reactions"


def muted(room: RoomId) -> str:
    """Who left a channel while muted."""
    return f"room:{{{room}}}:muted"


def interest(room: RoomId) -> str:
    """Gateways that hold members of a room."""
    return f"room:{{{room}}}:gateways"


def idempotency(room: RoomId, sender: UserId, key: str) -> str:
    """The first answer to a key."""
    return f"room:{{{room}}}:key:{sender}:{key}"


def user_rooms(user: UserId) -> str:
    """A user's inbox."""
    return f"user:{user}:rooms"


def user_gateways(user: UserId) -> str:
    """Where a user is connected."""
    return f"user:{user}:gateways"


def presence(user: UserId) -> str:
    """Devices with which a user is connected."""
    return f"presence:{user}"


def gateway_presence(gateway: str) -> str:
    """Users who are connected to a gateway."""
    return f"presence:{gateway}"


def token_version(user: UserId) -> str:
    """What a user's tokens are checked against."""
    return f"token-version:{user}"


def limit(name: str, subject: str) -> str:
    """A rate limit's counter."""
    return f"limit:{name}:{subject}"

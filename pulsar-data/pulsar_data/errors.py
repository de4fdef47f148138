"""Every error and close code a client can see, in one place (docs: protocol, "Errors" and "Close codes").

ChatError            an error reply: the command failed, the socket lives
Disconnect (enum)    a close: the socket ends
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any

from pulsar_data.model import Evolving


class ErrorCode(IntEnum):
    """100-112 are the Centrifuge protocol's own, 400 and up are ours."""

    INTERNAL = 100
    UNAUTHORIZED = 101
    UNKNOWN_CHANNEL = 102
    PERMISSION_DENIED = 103
    METHOD_NOT_FOUND = 104
    ALREADY_SUBSCRIBED = 105
    LIMIT_EXCEEDED = 106
    BAD_REQUEST = 107
    NOT_AVAILABLE = 108
    TOKEN_EXPIRED = 109
    TOO_MANY_REQUESTS = 111
    UNRECOVERABLE_POSITION = 112
    ROOM_NOT_FOUND = 400
    MESSAGE_NOT_FOUND = 401
    USER_NOT_FOUND = 402
    NOT_A_MEMBER = 403
    ROOM_FULL = 404
    MUTED = 405
    BANNED = 406
    CONFLICT = 407
    STALE_EDIT = 408

    @property
    def message(self) -> str:
        """The stable snake_case string of the error reply."""
        return self.name.lower()

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later, unchanged."""
        return self in (ErrorCode.INTERNAL, ErrorCode.TOO_MANY_REQUESTS)


class RpcError(Evolving):
    """The `error` of a reply."""

    code: int
    message: str
    temporary: bool | None = None

    @classmethod
    def of(cls, code: ErrorCode) -> RpcError:
        """The reply for a code; `temporary` only where it is true, as Centrifuge does."""
        return cls(code=int(code), message=code.message, temporary=True if code.temporary else None)


class ChatError(Exception):
    """A command or query that is refused. `detail` is for people and never holds a secret or a message text."""

    def __init__(self, code: ErrorCode, detail: str = "") -> None:
        super().__init__(detail or code.message)
        self.code = code

    def reply(self) -> RpcError:
        """What the client gets."""
        return RpcError.of(self.code)


class Disconnect(Enum):
    """Close codes: 3000-3499 the client reconnects, 3500-3999 it must not."""

    CLOSED = (3000, "connection closed")
    SHUTDOWN = (3001, "shutdown")
    SERVER_ERROR = (3004, "internal server error")
    EXPIRED = (3005, "connection expired")
    SLOW = (3008, "slow")
    INSUFFICIENT_STATE = (3010, "insufficient state")
    NO_PONG = (3012, "no pong")
    TOO_MANY_REQUESTS = (3013, "too many requests")
    INVALID_TOKEN = (3500, "invalid token")
    BAD_REQUEST = (3501, "bad request")
    STALE = (3502, "stale")
    FORCED = (3503, "force disconnect")
    CONNECTION_LIMIT = (3504, "connection limit")

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason

    def push(self) -> dict[str, Any]:
        """The `disconnect` of a push frame."""
        return {"code": self.code, "reason": self.reason}

"""Everything user-auth refuses, as RFC 9457 problem details with a stable `code`.

Refused              the request cannot be done as it stands; its code says why
├── TooMany          a limit; knows when to try again
└── InvalidFields    the body does not fit the model; names the fields, never their values
Unavailable          a store or broker does not answer in time (503)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field


class Code(Enum):
    """The stable codes: clients compare these, never a detail text."""

    MALFORMED_JSON = ("malformed_json", 400)
    BAD_CREDENTIALS = ("bad_credentials", 401)
    INVALID_TOKEN = ("invalid_token", 401)
    TOKEN_EXPIRED = ("token_expired", 401)
    SESSION_ENDED = ("session_ended", 401)
    INVALID_REFRESH_TOKEN = ("invalid_refresh_token", 401)
    REFRESH_TOKEN_REUSED = ("refresh_token_reused", 401)
    NOT_FOUND = ("not_found", 404)
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405)
    USERNAME_TAKEN = ("username_taken", 409)
    BODY_TOO_LARGE = ("body_too_large", 413)
    UNSUPPORTED_MEDIA_TYPE = ("unsupported_media_type", 415)
    INVALID_FIELDS = ("invalid_fields", 422)
    TOO_MANY_REQUESTS = ("too_many_requests", 429)
    INTERNAL = ("internal", 500)
    TEMPORARILY_UNAVAILABLE = ("temporarily_unavailable", 503)
    REVOCATION_DELAYED = ("revocation_delayed", 503)

    def __init__(self, code: str, status: int) -> None:
        self.code = code
        self.status = status


class FieldError(BaseModel):
    """One field that does not fit: where it is, and a stable word for what is wrong with it."""

    model_config = ConfigDict(frozen=True)

    field: str
    code: str


class Problem(BaseModel):
    """A problem detail (RFC 9457). `code` is stable; `detail` is for people and may change."""

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    code: str
    detail: str
    errors: tuple[FieldError, ...] | None = None


class Refused(Exception):
    """A request that gets `code` as its answer. `detail` reaches the client: it never holds a secret."""

    def __init__(self, code: Code, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.fields: tuple[FieldError, ...] | None = None

    def problem(self) -> Problem:
        """What the client gets."""
        title = HTTPStatus(self.code.status).phrase
        return Problem(
            title=title, status=self.code.status, code=self.code.code, detail=self.detail, errors=self.fields
        )


class TooMany(Refused):
    """A limit is reached. `retry_after` in whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            Code.TOO_MANY_REQUESTS,
            f"Too many attempts. Try again in {retry_after} seconds.",
            {"Retry-After": str(retry_after)},
        )


class InvalidFields(Refused):
    """The body is JSON, but not what this request needs."""

    def __init__(self, fields: tuple[FieldError, ...]) -> None:
        super().__init__(Code.INVALID_FIELDS, "Some fields do not fit: see errors.")
        self.fields = fields


class Unavailable(Refused):
    """Cassandra, Redis or Pulsar did not answer in time, or no signing key is there."""

    def __init__(
        self,
        detail: str = "Something that this request needs does not answer. Try again shortly.",
        code: Code = Code.TEMPORARILY_UNAVAILABLE,
    ) -> None:
        super().__init__(code, detail, {"Retry-After": "2"})

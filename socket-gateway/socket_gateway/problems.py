"""Errors of the server API as problem details (RFC 9457). Their `code` is the `message` of the socket's error reply."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from pydantic import Field
from starlette.responses import Response

from pulsar_data.errors import ErrorCode, RpcError
from pulsar_data.model import Model

STATUS: Final[Mapping[ErrorCode, HTTPStatus]] = {
    ErrorCode.INTERNAL: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    ErrorCode.METHOD_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.LIMIT_EXCEEDED: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    ErrorCode.NOT_AVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.TOO_MANY_REQUESTS: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.ROOM_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.MESSAGE_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.USER_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.NOT_A_MEMBER: HTTPStatus.FORBIDDEN,
    ErrorCode.ROOM_FULL: HTTPStatus.CONFLICT,
    ErrorCode.MUTED: HTTPStatus.FORBIDDEN,
    ErrorCode.BANNED: HTTPStatus.FORBIDDEN,
    ErrorCode.CONFLICT: HTTPStatus.CONFLICT,
    ErrorCode.STALE_EDIT: HTTPStatus.CONFLICT,
}
AGAIN: Final = "1"
"""Seconds, of Retry-After."""


class Problem(Model):
    """`code` and `error` are stable: the socket's error by its name and number. `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    code: str
    error: int
    detail: str


def problem(error: RpcError, detail: str = "") -> Response:
    """The answer to a call that failed."""
    status = STATUS.get(ErrorCode(error.code), HTTPStatus.INTERNAL_SERVER_ERROR)
    body = Problem(
        title=status.phrase,
        status=status,
        code=error.message,
        error=error.code,
        detail=detail or error.message.replace("_", " "),
    )
    return Response(body.to_json(), status, _headers(status), media_type="application/problem+json")


def _headers(status: HTTPStatus) -> dict[str, str]:
    if status is HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return {"Retry-After": AGAIN}
    return {}

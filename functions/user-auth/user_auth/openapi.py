"""The OpenAPI 3.1 document, made of the same table and models that answer requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from user_auth.errors import Code, Problem
from user_auth.http import JSON_LINES, Endpoint

_BODY: Final = (Code.MALFORMED_JSON, Code.BODY_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.INVALID_FIELDS)
_BEARER: Final = (Code.INVALID_TOKEN, Code.TOKEN_EXPIRED, Code.SESSION_ENDED)
_HEADERS: Final[dict[int, str]] = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
_REF: Final = "#/components/schemas/{model}"


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Plain JSON values, the same for the same endpoints."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "user-auth",
            "version": "1",
            "description": "Accounts, sessions, access tokens. Errors: problem details (RFC 9457); codes are stable.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(endpoints),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": endpoint.name, "summary": endpoint.summary}
    if endpoint.bearer:
        operation["security"] = [{"bearer": []}]
    if endpoint.takes:
        operation["requestBody"] = {"required": True, "content": _content("application/json", endpoint.takes)}
    return {**operation, "responses": {str(endpoint.status): _success(endpoint), **_refusals(endpoint)}}


def _success(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.status == 204:
        return {"description": "Done"}
    if endpoint.lines:
        return {"description": "Done", "content": {JSON_LINES: _lines(endpoint.lines())}}
    schema = _content("application/json", endpoint.gives) if endpoint.gives else _anything()
    return {"description": "Done", "content": schema}


def _refusals(endpoint: Endpoint) -> dict[str, Any]:
    """By status: the codes that it may carry, in words, and the problem's schema."""
    follow = (*(_BODY if endpoint.takes else ()), *(_BEARER if endpoint.bearer else ()))
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*follow, *endpoint.refusals)):
        by_status.setdefault(code.status, []).append(code.code)
    return {str(status): _refusal(status, codes) for status, codes in sorted(by_status.items())}


def _refusal(status: int, codes: Sequence[str]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": "`" + "`, `".join(codes) + "`",
        "content": _content("application/problem+json", Problem),
    }
    if header := _HEADERS.get(status):
        answer["headers"] = {header: {"schema": {"type": "string"}}}
    return answer


def _content(media_type: str, model: type[BaseModel]) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _lines(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """The body is a text to OpenAPI 3.1; what a line may be is said as its successor says it, as an extension."""
    line = {"oneOf": [{"$ref": _REF.format(model=model.__name__)} for model in models]}
    return {"schema": {"type": "string", "description": "JSON objects, one a line."}, "x-itemSchema": line}


def _anything() -> dict[str, Any]:
    return {"application/json": {"schema": {"type": "object"}}}


def _given(endpoint: Endpoint) -> Iterator[type[BaseModel]]:
    if endpoint.gives:
        yield endpoint.gives
    if endpoint.lines:
        yield from endpoint.lines()


def _schemas(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    taken = {endpoint.takes: "validation" for endpoint in endpoints if endpoint.takes}
    given = {model: "serialization" for endpoint in endpoints for model in _given(endpoint)}
    modes: Any = [*taken.items(), *given.items(), (Problem, "serialization")]
    _, schema = models_json_schema(modes, ref_template=_REF)
    definitions: dict[str, Any] = schema["$defs"]
    return dict(sorted(definitions.items()))

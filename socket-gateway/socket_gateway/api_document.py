"""The OpenAPI 3.1 document of the server API, made of the models that check its requests."""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from pulsar_data.errors import ErrorCode
from pulsar_data.traces import PROPERTY
from socket_gateway.problems import STATUS, Problem
from socket_gateway.server_api import METHODS

_REF: Final = "#/components/schemas/{model}"
_SAYS: Final = {
    "title": "Chattifier: the server API",
    "version": "1",
    "description": (
        "Your servers call every RPC method of the socket over HTTP, as any user or as the system: bots, system"
        " messages, imports. On the gateways. Errors are problem details (RFC 9457); `code` is stable, and the same"
        " as the `message` of the socket's error reply."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}


def document() -> dict[str, Any]:
    """Plain JSON values, the same for the same models."""
    return {
        "openapi": "3.1.0",
        "info": _SAYS,
        "paths": {"/api/rpc": {"post": _operation()}},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"service": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation() -> dict[str, Any]:
    calls = {"oneOf": [{"$ref": _REF.format(model=_name(method))} for method in METHODS]}
    return {
        "operationId": "rpc",
        "summary": "Call a method",
        "security": [{"service": []}],
        "parameters": [
            {
                "name": PROPERTY,
                "in": "header",
                "required": False,
                "description": "The W3C trace context that the call belongs to. What is none is ignored.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": calls}}},
        "responses": {
            "200": {
                "description": "What the method gives, as on the socket",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **_refusals(),
        },
    }


def _refusals() -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in ErrorCode:
        if code in STATUS:
            by_status.setdefault(int(STATUS[code]), []).append(code.message)
    content = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
    return {
        str(status): {"description": "`" + "`, `".join(codes) + "`", "content": content}
        for status, codes in sorted(by_status.items())
    }


def _schemas() -> dict[str, Any]:
    params = dict.fromkeys(dict.fromkeys(METHODS.values()), "validation")
    modes: Any = [*params.items(), (Problem, "serialization")]
    _, schema = models_json_schema(modes, ref_template=_REF)
    definitions: dict[str, Any] = schema["$defs"]
    for method, found in METHODS.items():
        definitions[_name(method)] = _call(method, found.__name__)
    return dict(sorted(definitions.items()))


def _call(method: str, params: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["method", "data"],
        "additionalProperties": False,
        "properties": {
            "method": {"const": method},
            "data": {"$ref": _REF.format(model=params)},
            "as": {
                "type": "string",
                "format": "uuid",
                "description": "The user who acts. Left out, it is the system: above every owner, a member of no room.",
            },
        },
    }


def _name(method: str) -> str:
    """message.send: MessageSend."""
    return "".join(part.capitalize() for part in method.split("."))

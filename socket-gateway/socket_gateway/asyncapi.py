"""The AsyncAPI 3 document of the socket, made of the same table and models that the parts run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pulsar_data.errors import Disconnect, ErrorCode, RpcError
from pulsar_data.results import RESULTS
from pulsar_data.rpc import METHODS
from pulsar_data.traces import PROPERTY
from socket_gateway import frames, protocol

Json = dict[str, Any]

REQUESTS: Final[Mapping[str, type[BaseModel] | None]] = {
    "connect": frames.ConnectResult,
    "subscribe": frames.Subscription,
    "unsubscribe": frames.Nothing,
    "refresh": frames.RefreshResult,
    "history": frames.HistoryResult,
    "presence": frames.PresenceResult,
    "presence_stats": frames.PresenceStatsResult,
    "ping": frames.Nothing,
    "send": None,
}
"""The requests of the Centrifuge protocol beside `rpc` that this server offers, and their results."""

PUSHES: Final[Mapping[str, tuple[str, type[BaseModel]]]] = {
    "room_publication": ("pub", frames.RoomPublication),
    "room_notice": ("pub", frames.RoomNoticePublication),
    "user_news": ("pub", frames.NewsPublication),
    "join": ("join", frames.Presence),
    "leave": ("leave", frames.Presence),
    "subscribe_push": ("subscribe", frames.Subscription),
    "unsubscribe_push": ("unsubscribe", frames.Unsubscribe),
}
_REF: Final = "#/components/schemas/{model}"
_ID: Final[Json] = {"type": "integer", "minimum": 1, "maximum": 2**32 - 1}
_TRACEPARENT: Final[Json] = {
    "description": "The W3C trace context that the call belongs to. What is none is ignored.",
    "examples": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
    "type": "string",
}
_CHANNEL: Final[Json] = {"type": "string", "pattern": "^(room|user):[0-9a-f-]{36}$"}


def document() -> Json:
    """Plain JSON values, the same for the same code."""
    messages = dict(_messages())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chattifier socket",
            "version": "1",
            "description": "The Centrifuge client protocol in JSON, on one WebSocket; every chat command is an `rpc`. "
            "Protobuf says the same (socket.md). "
            "A text frame holds one or more of these objects, separated by newlines; `{}` is the server's ping and "
            "the client's pong.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": {"local": {"host": "127.0.0.1:8001", "protocol": "ws"}},
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/connection/websocket",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": dict(_operations()),
        "components": {"messages": messages, "schemas": _schemas()},
        "x-error-codes": {code.message: int(code) for code in ErrorCode},
        "x-close-codes": {str(close.code): close.reason for close in Disconnect},
    }


def _messages() -> Iterator[tuple[str, Json]]:
    yield "error", _message("The request failed; the socket lives.", {"id": _ID, "error": _ref(RpcError)})
    for name, result in REQUESTS.items():
        yield name, _request(name, _ref(protocol.REQUESTS[name]), numbered=result is not None)
        if result is not None:
            yield f"{name}_result", _message(_summary(result), {"id": _ID, name: _ref(result)})
    for method, params in METHODS.items():
        call = {"type": "object", "properties": {"method": {"const": method}, "data": _ref(params)}}
        yield method, _request("rpc", {**call, "required": ["method"]}, summary=f"`{method}`")
        data = {"type": "object", "properties": {"data": _ref(RESULTS[method])}, "required": ["data"]}
        yield f"{method}_result", _message(_summary(RESULTS[method]), {"id": _ID, "rpc": data})
    for name, (field, model) in PUSHES.items():
        yield name, _push(model, {"channel": _CHANNEL, field: _ref(model)})
    yield "disconnect", _push(frames.Disconnect, {"disconnect": _ref(frames.Disconnect)})


def _operations() -> Iterator[tuple[str, Json]]:
    """`receive`: what the server receives, with its answer; `send`: what it sends unasked."""
    for name, result in REQUESTS.items():
        yield name, _receive(name, answered=result is not None)
    for method in METHODS:
        yield method, _receive(method, answered=True)
    for name in (*PUSHES, "disconnect"):
        yield name, {"action": "send", "channel": _SOCKET, "messages": [_in_socket(name)]}


def _receive(name: str, *, answered: bool) -> Json:
    operation: Json = {"action": "receive", "channel": _SOCKET, "messages": [_in_socket(name)]}
    if answered:
        answers = [_in_socket(f"{name}_result"), _in_socket("error")]
        operation["reply"] = {"channel": _SOCKET, "messages": answers}
    return operation


_SOCKET: Final[Json] = {"$ref": "#/channels/socket"}


def _in_socket(name: str) -> Json:
    return {"$ref": f"#/channels/socket/messages/{name}"}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _message(summary: str, properties: Json) -> Json:
    payload = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"summary": summary, "payload": payload}


def _request(name: str, schema: Json, *, numbered: bool = True, summary: str | None = None) -> Json:
    properties = {"id": _ID, name: schema} if numbered else {name: schema}
    return _message(summary or _summary(protocol.REQUESTS[name]), properties)


def _push(model: type[BaseModel], properties: Json) -> Json:
    push = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return _message(_summary(model), {"push": push})


def _schemas() -> Json:
    taken = [*METHODS.values(), *(protocol.REQUESTS[name] for name in REQUESTS)]
    results = [result for result in REQUESTS.values() if result is not None]
    given = [*RESULTS.values(), *results, *(model for _, model in PUSHES.values()), frames.Disconnect, RpcError]
    modes: Any = [*((model, "validation") for model in taken), *((model, "serialization") for model in given)]
    _, schema = models_json_schema(list(dict.fromkeys(modes)), ref_template=_REF)
    definitions: Json = schema["$defs"]
    for params in METHODS.values():
        definitions[params.__name__] = _traced(definitions[params.__name__])
    return {name: _plain(_public(definitions[name])) for name in sorted(definitions)}


def _traced(schema: Json) -> Json:
    """With what the gateway takes out of a call before it looks at the rest."""
    return {**schema, "properties": {**schema.get("properties", {}), PROPERTY: _TRACEPARENT}}


def _public(schema: Json) -> Json:
    """Without the fields that are between our parts."""
    if not {"offset", "actor", "digest"} <= schema.get("properties", {}).keys():
        return schema
    kept = {name: value for name, value in schema["properties"].items() if name not in frames.HIDDEN}
    return {**schema, "properties": kept, "required": [name for name in schema["required"] if name in kept]}


def _plain(schema: Any) -> Any:
    """Without `discriminator`, which OpenAPI and AsyncAPI write differently: the `const` of each type says it all."""
    if isinstance(schema, dict):
        return {name: _plain(value) for name, value in schema.items() if name != "discriminator"}
    return [_plain(value) for value in schema] if isinstance(schema, list) else schema

"""What a client may ask once it is connected. Chat rules are elsewhere: here commands are only passed on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic_core import to_json

from pulsar_data.deliveries import Reply
from pulsar_data.errors import ChatError, Disconnect, ErrorCode, RpcError
from pulsar_data.rpc import Caller, build
from socket_gateway import channels, refreshing, subscribing, traces, typing
from socket_gateway.protocol import (
    Command,
    ConnectRequest,
    HistoryRequest,
    PingRequest,
    PresenceRequest,
    PresenceStatsRequest,
    RefreshRequest,
    RpcRequest,
    SendRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from socket_gateway.requests import Answer

if TYPE_CHECKING:
    from socket_gateway.connection import Connection


def handle(connection: Connection, command: Command) -> None:
    """One command of an open connection. Answers now or later; never waits, so the order of sends is kept."""
    connection.gateway.metrics.asked(command.request)
    match command.request:
        case RpcRequest(method="typing") as request:
            _typing(connection, command.id, request)
        case RpcRequest() as request:
            _rpc(connection, command.id, request)
        case SendRequest() as request:
            _send(connection, command.id, request)
        case SubscribeRequest() as request:
            subscribing.subscribe(connection, command.id, request)
        case UnsubscribeRequest() as request:
            subscribing.unsubscribe(connection, command.id, request)
        case HistoryRequest() as request:
            channels.history(connection, command.id, request)
        case PresenceRequest() | PresenceStatsRequest() as request:
            channels.presence(connection, command.id, request)
        case RefreshRequest() as request:
            refreshing.refresh(connection, command.id, request)
        case PingRequest():
            connection.reply(command.id, "ping", b"{}")
        case ConnectRequest():
            connection.close(Disconnect.BAD_REQUEST)
        case _:
            connection.refuse(command.id, RpcError.of(ErrorCode.NOT_AVAILABLE))


def _rpc(connection: Connection, number: int, request: RpcRequest) -> None:
    if connection.turns_away():
        _refuse(connection, number, request.method, RpcError.of(ErrorCode.TOO_MANY_REQUESTS))
        return
    gateway = connection.gateway
    asked = gateway.requests.number()
    caller = Caller(connection.user, gateway.id, connection.client, asked, gateway.deadline())
    data, traceparent = traces.taken_from(request.data)
    try:
        message = build(request.method, data, caller, gateway.clock.latest())
    except ChatError as error:
        _refuse(connection, number, request.method, error.reply())
        return
    span = gateway.traces.call(request.method, message, traceparent)
    connection.ask(message, asked, partial(_answered, connection, number, request.method), span)


def _answered(connection: Connection, number: int, method: str, answer: Answer) -> None:
    if isinstance(answer, Reply) and answer.error is None:
        _reply(connection, number, method, to_json({"data": answer.result or {}}))
    else:
        error = answer.error if isinstance(answer, Reply) else None
        _refuse(connection, number, method, error or RpcError.of(ErrorCode.INTERNAL))


def _typing(connection: Connection, number: int, request: RpcRequest) -> None:
    try:
        typing.typing(connection, request.data)
    except ChatError as error:
        _refuse(connection, number, request.method, error.reply())
    else:
        _reply(connection, number, request.method, b'{"data":{}}')


def _reply(connection: Connection, number: int, method: str, result: bytes) -> None:
    connection.gateway.metrics.answered(method, None)
    connection.reply(number, "rpc", result)


def _refuse(connection: Connection, number: int, method: str, error: RpcError) -> None:
    connection.gateway.metrics.answered(method, error)
    connection.refuse(number, error)


def _send(connection: Connection, number: int, request: SendRequest) -> None:
    """There is no answer to a `send` without an id; with one there is none but an error."""
    try:
        typing.typing(connection, typing.sent(request.data))
    except ChatError as error:
        connection.refuse(number, error.reply())

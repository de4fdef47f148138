"""What a client may ask once it is connected. Chat rules are elsewhere: here commands are only passed on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic_core import to_json

from pulsar_data.deliveries import Reply, RoomOpened
from pulsar_data.errors import ChatError, Disconnect, ErrorCode, RpcError
from pulsar_data.model import RoomId
from pulsar_data.queries import OpenRoom, Position
from pulsar_data.rpc import Caller, build
from socket_gateway import protocol
from socket_gateway.protocol import (
    Command,
    ConnectRequest,
    PingRequest,
    RpcRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from socket_gateway.requests import Answer

if TYPE_CHECKING:
    from socket_gateway.connection import Connection


def handle(connection: Connection, command: Command) -> None:
    """One command of an open connection. Answers now or later; never waits, so the order of sends is kept."""
    match command.request:
        case RpcRequest() as request:
            _rpc(connection, command.id, request)
        case SubscribeRequest() as request:
            _subscribe(connection, command.id, request)
        case UnsubscribeRequest() as request:
            _unsubscribe(connection, command.id, request)
        case PingRequest():
            connection.reply(command.id, "ping", b"{}")
        case ConnectRequest():
            connection.close(Disconnect.BAD_REQUEST)
        case _:
            connection.refuse(command.id, RpcError.of(ErrorCode.NOT_AVAILABLE))


def _rpc(connection: Connection, number: int, request: RpcRequest) -> None:
    if connection.too_many():
        connection.refuse(number, RpcError.of(ErrorCode.TOO_MANY_REQUESTS))
        return
    gateway = connection.gateway
    asked = gateway.requests.number()
    caller = Caller(connection.user, gateway.id, connection.client, asked, gateway.deadline())
    try:
        message = build(request.method, request.data, caller, gateway.now())
    except ChatError as error:
        connection.refuse(number, error.reply())
        return
    connection.asked.add(asked)
    gateway.expect(message, asked, partial(_answered, connection, number))
    gateway.publish(message, asked)


def _answered(connection: Connection, number: int, answer: Answer) -> None:
    connection.asked.discard(answer.request)
    if isinstance(answer, Reply) and answer.error is None:
        connection.reply(number, "rpc", to_json({"data": answer.result or {}}))
    else:
        _refused(connection, number, answer)


def _refused(connection: Connection, number: int, answer: Answer) -> None:
    error = answer.error if isinstance(answer, Reply) else None
    connection.refuse(number, error or RpcError.of(ErrorCode.INTERNAL))


def _subscribe(connection: Connection, number: int, request: SubscribeRequest) -> None:
    room = protocol.room_of(request.channel)
    if room is None:
        own = request.channel == protocol.user_channel(connection.user)
        connection.refuse(number, RpcError.of(ErrorCode.ALREADY_SUBSCRIBED if own else ErrorCode.UNKNOWN_CHANNEL))
    elif room in connection.rooms or room in connection.subscribing:
        connection.refuse(number, RpcError.of(ErrorCode.ALREADY_SUBSCRIBED))
    elif connection.too_many():
        connection.refuse(number, RpcError.of(ErrorCode.TOO_MANY_REQUESTS))
    else:
        _Subscribing(connection, number, room).ask(request)


class _Subscribing:
    """One `subscribe`, from the question to its answer; see `opening` for why nothing is lost meanwhile."""

    def __init__(self, connection: Connection, number: int, room: RoomId) -> None:
        self._connection = connection
        self._number = number
        self._room = room
        self._asked = connection.gateway.requests.number()
        self._token = connection.gateway.backlog.begin(self._overflow)
        connection.subscribing[room] = self.give_up
        connection.asked.add(self._asked)

    def ask(self, request: SubscribeRequest) -> None:
        """Ask archive."""
        gateway = self._connection.gateway
        position = Position(epoch=request.epoch, offset=request.offset) if request.recover else None
        question = OpenRoom(
            gateway=gateway.id,
            request=self._asked,
            user=self._connection.user,
            deadline=gateway.deadline(),
            room=self._room,
            token=self._token,
            position=position,
        )
        gateway.expect(question, self._asked, self._answered)
        gateway.publish(question, self._asked)

    def give_up(self) -> None:
        """Nobody waits any more."""
        gateway = self._connection.gateway
        gateway.requests.drop(self._asked)
        gateway.backlog.end(self._token)
        self._connection.asked.discard(self._asked)
        self._connection.subscribing.pop(self._room, None)
        gateway.interest.left_unopened(self._room)

    def _overflow(self) -> None:
        self.give_up()
        self._connection.internal(self._number)

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, RoomOpened):
            self._open(answer)
        else:
            self.give_up()
            _refused(self._connection, self._number, answer)

    def _open(self, answer: RoomOpened) -> None:
        opened, connection = answer.room, self._connection
        frames = connection.gateway.hub.join(connection, self._room, opened.epoch, opened.offset)
        if frames is None:
            connection.close(Disconnect.INSUFFICIENT_STATE)
            return
        connection.rooms.add(self._room)
        self.give_up()
        connection.reply(self._number, "subscribe", protocol.subscription(opened, opened.summary.to_dict()))
        for frame in frames:
            connection.push(frame)


def _unsubscribe(connection: Connection, number: int, request: UnsubscribeRequest) -> None:
    room = protocol.room_of(request.channel)
    if room is None:
        connection.refuse(number, RpcError.of(ErrorCode.UNKNOWN_CHANNEL))
        return
    if room in connection.subscribing:
        connection.subscribing[room]()
    elif room in connection.rooms:
        connection.rooms.discard(room)
        connection.gateway.hub.leave(connection, room)
    connection.reply(number, "unsubscribe", b"{}")

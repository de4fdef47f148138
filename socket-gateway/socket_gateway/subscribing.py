"""`subscribe` and `unsubscribe`: rooms that a client follows by its own wish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulsar_data.deliveries import RoomLeft, RoomOpened
from pulsar_data.errors import Disconnect, ErrorCode, RpcError
from pulsar_data.model import RoomId
from pulsar_data.queries import OpenRoom, Position
from pulsar_data.traces import NOT_TRACED
from socket_gateway import protocol
from socket_gateway.protocol import SubscribeRequest, UnsubscribeRequest
from socket_gateway.requests import Answer, trouble

if TYPE_CHECKING:
    from socket_gateway.connection import Connection


def subscribe(connection: Connection, number: int, request: SubscribeRequest) -> None:
    """Of a room one is a member of."""
    room = protocol.room_of(request.channel)
    if room is None:
        own = request.channel == protocol.user_channel(connection.user)
        connection.refuse(number, RpcError.of(ErrorCode.ALREADY_SUBSCRIBED if own else ErrorCode.UNKNOWN_CHANNEL))
    elif room in connection.rooms or room in connection.subscribing:
        connection.refuse(number, RpcError.of(ErrorCode.ALREADY_SUBSCRIBED))
    elif connection.turns_away():
        connection.refuse(number, RpcError.of(ErrorCode.TOO_MANY_REQUESTS))
    else:
        Subscribing(connection, number, room).ask(request)


class Subscribing:
    """One `subscribe`, from the question to its answer; see `opening` for why nothing is lost meanwhile."""

    def __init__(self, connection: Connection, number: int, room: RoomId) -> None:
        self._connection = connection
        self._number = number
        self._room = room
        self._asked = connection.gateway.requests.number()
        self._token = connection.gateway.backlog.begin(self._overflow)
        connection.subscribing[room] = self
        connection.asked[self._asked] = NOT_TRACED

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
        span = self._connection.asked[self._asked] = gateway.traces.call("subscribe", question)
        gateway.expect(question, self._asked, self._answered)
        gateway.publish(question, self._asked, span)

    def give_up(self) -> None:
        """Nobody waits any more."""
        gateway = self._connection.gateway
        gateway.requests.drop(self._asked)
        gateway.backlog.end(self._token)
        self._connection.asked.pop(self._asked, NOT_TRACED).end()
        self._connection.subscribing.pop(self._room, None)
        gateway.interest.left_unopened(self._room)

    def unsubscribed(self) -> None:
        """The client wants it no more: that it does not get it is the answer."""
        self.give_up()
        self._connection.refuse(self._number, RpcError.of(ErrorCode.NOT_AVAILABLE))

    def _overflow(self) -> None:
        self.give_up()
        self._connection.internal(self._number)

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, RoomOpened):
            self._open(answer)
        else:
            self._connection.asked[self._asked].end(trouble(answer))
            self.give_up()
            self._connection.refused(self._number, answer)

    def _open(self, answer: RoomOpened) -> None:
        opened, connection = answer.room, self._connection
        if self._room in connection.rooms:  # its user has entered meanwhile, and it follows
            connection.asked[self._asked].end()
            self.give_up()
            connection.refuse(self._number, RpcError.of(ErrorCode.ALREADY_SUBSCRIBED))
            return
        frames = connection.join(opened)
        if frames is None:
            connection.close(Disconnect.INSUFFICIENT_STATE)
            return
        moves = connection.gateway.backlog.moves(connection.user)
        self.give_up()
        connection.gateway.presence.entered(connection, self._room)
        connection.reply(self._number, "subscribe", protocol.subscription(opened, opened.summary.to_dict()))
        for frame in frames:
            connection.push(frame)
        for move in moves:
            if isinstance(move, RoomLeft) and move.room == self._room:
                connection.leave(move)


def unsubscribe(connection: Connection, number: int, request: UnsubscribeRequest) -> None:
    """Of a room, whether or not the subscription was the client's own."""
    room = protocol.room_of(request.channel)
    if room is None:
        connection.refuse(number, RpcError.of(ErrorCode.UNKNOWN_CHANNEL))
        return
    if room in connection.subscribing:
        connection.subscribing[room].unsubscribed()
    elif room in connection.rooms:
        connection.quit(room)
    connection.reply(number, "unsubscribe", b"{}")

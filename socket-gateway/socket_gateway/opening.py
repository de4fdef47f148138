"""How a connection becomes a session: token, question to archive, answer, positions.

Nothing falls between what archive has read and what is pushed from here on: whatever arrives while the question is
under way is kept, and pushed behind the answer if the answer does not know it yet.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pulsar_data.deliveries import OpenedRoom, Reply, SessionOpened
from pulsar_data.errors import Disconnect, ErrorCode, RpcError
from pulsar_data.model import RoomId
from pulsar_data.queries import OpenSession, Position
from pulsar_data.tokens import AccessClaims
from socket_gateway import __version__, protocol
from socket_gateway.protocol import ConnectRequest
from socket_gateway.requests import Answer
from socket_gateway.tokens import TokenError, TokenExpiredError

if TYPE_CHECKING:
    from socket_gateway.connection import Connection

REFRESH_EARLY = 30
"""Seconds: SDKs refresh exactly when the reported `ttl` is over, which must be before the token is."""


class Opening:
    """One connect command, from its token to its reply."""

    def __init__(self, connection: Connection, number: int, request: ConnectRequest) -> None:
        self._connection = connection
        self._gateway = connection.gateway
        self._number = number
        self._request = request
        self._over = asyncio.Event()
        self._asked = 0
        self._token = 0
        self._expires = 0

    async def run(self) -> None:
        """Until the connect is answered, refused, or the connection is gone."""
        try:
            claims = self._gateway.tokens.verify(self._request.token)
        except TokenExpiredError:
            self._connection.fail(self._number, RpcError.of(ErrorCode.TOKEN_EXPIRED))
        except TokenError:
            self._connection.close(Disconnect.INVALID_TOKEN)
        else:
            self._ask(claims)
            await self._over.wait()

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._gateway.requests.drop(self._asked)
        self._gateway.backlog.end(self._token)
        self._over.set()

    def _ask(self, claims: AccessClaims) -> None:
        if not self._gateway.ready:
            self._refuse(RpcError.of(ErrorCode.INTERNAL))
            return
        gateway, self._expires = self._gateway, claims.exp
        self._connection.authenticated(claims, follows=self._request.server_subs)
        self._token = gateway.backlog.begin(self._overflow)
        self._asked = gateway.requests.number()
        gateway.requests.expect(self._asked, self._answered, gateway.limits.query, ErrorCode.INTERNAL)
        gateway.publish(self._question(claims), self._asked)

    def _question(self, claims: AccessClaims) -> OpenSession:
        return OpenSession(
            gateway=self._gateway.id,
            request=self._asked,
            user=claims.sub,
            deadline=self._gateway.deadline(),
            session=claims.sid,
            version=claims.ver,
            token=self._token,
            rooms=self._request.server_subs,
            positions=self._positions(),
        )

    def _positions(self) -> dict[RoomId, Position]:
        found = ((protocol.room_of(channel), sub) for channel, sub in self._request.subs.items() if sub.recover)
        return {room: Position(epoch=sub.epoch, offset=sub.offset) for room, sub in found if room is not None}

    def _overflow(self) -> None:
        self._refuse(RpcError.of(ErrorCode.INTERNAL))

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, SessionOpened):
            self._open(answer)
        elif isinstance(answer, Reply) and answer.error is not None and answer.error.code == ErrorCode.UNAUTHORIZED:
            self._connection.close(Disconnect.INVALID_TOKEN)
        else:
            error = answer.error if isinstance(answer, Reply) else None
            self._refuse(error or RpcError.of(ErrorCode.INTERNAL))

    def _refuse(self, error: RpcError) -> None:
        # Whatever it is, it is our trouble, and an SDK gives up for good on an error that is not temporary.
        self._connection.fail(self._number, error.model_copy(update={"temporary": True}))
        self.abandon()

    def _open(self, opened: SessionOpened) -> None:
        rooms = opened.rooms if self._request.server_subs else ()
        frames = self._join(rooms)
        if frames is None:
            self._connection.close(Disconnect.INSUFFICIENT_STATE)
            return
        self._connection.opened()
        self._connection.answer(protocol.connected(self._number, self._result(opened), self._subs(rooms)))
        for frame in frames:
            self._connection.push(frame)
        for entered in self._gateway.backlog.entered(self._connection.user):
            self._connection.enter(entered)
        self.abandon()

    def _join(self, rooms: tuple[OpenedRoom, ...]) -> list[bytes] | None:
        frames: list[bytes] = []
        for room in rooms:
            missed = self._gateway.hub.join(self._connection, room.summary.room, room.epoch, room.offset)
            if missed is None:
                return None
            self._connection.rooms.add(room.summary.room)
            frames += missed
        return frames

    def _subs(self, rooms: tuple[OpenedRoom, ...]) -> dict[str, bytes]:
        subs = {protocol.user_channel(self._connection.user): b"{}"}
        return subs | {protocol.room_channel(room.summary.room): protocol.subscription(room) for room in rooms}

    def _result(self, opened: SessionOpened) -> dict[str, Any]:
        data: dict[str, Any] = {
            "user": opened.user.to_dict(),
            "rooms": [room.summary.to_dict() for room in opened.rooms],
        }
        if opened.more:
            data["more"] = True
        return {
            "client": self._connection.client,
            "version": f"chattifier {__version__}",
            "data": data,
            "expires": True,
            "ttl": max(1, int(self._expires - self._gateway.time()) - REFRESH_EARLY),
            "ping": self._gateway.limits.ping,
            "pong": True,
            "session": self._connection.session,
            "node": self._gateway.id,
        }

"""How a connection becomes a session: token, question to archive, answer, positions.

Nothing falls between what archive has read and what is pushed from here on: whatever arrives while the question is
under way is kept, and pushed behind the answer if the answer does not know it yet.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from pulsar_data.deliveries import OpenedRoom, Reply, RoomLeft, SessionOpened
from pulsar_data.errors import Disconnect, ErrorCode, RpcError
from pulsar_data.model import RoomId
from pulsar_data.queries import OpenSession, Position
from pulsar_data.traces import NOT_TRACED, Span
from socket_gateway import protocol
from socket_gateway.protocol import VERSION, ConnectRequest
from socket_gateway.requests import Answer, trouble
from socket_gateway.tokens import Identity, TokenError, TokenExpiredError, TokenUndecidedError

if TYPE_CHECKING:
    from socket_gateway.connection import Connection

DROPS = 8
"""So many commands an opening counts for: archive reads all rooms for it. Fifty devices at once are a burst."""
LONGEST = 2**31 // 1000
"""Seconds: SDKs count milliseconds in 32 bits. After these 24 days they ask for another token, as at any other time."""
REFRESH_EARLY = 30
"""Seconds: SDKs refresh exactly when the reported `ttl` is over, which must be before the token is."""


def ttl(identity: Identity, now: float) -> int:
    """Seconds after which the client is to refresh its token."""
    return min(max(1, int(identity.expires - now) - REFRESH_EARLY), LONGEST)


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
        self._identity: Identity | None = None
        self._span: Span = NOT_TRACED

    async def run(self) -> None:
        """Until the connect is answered, refused, or the connection is gone."""
        try:
            identity = self._gateway.tokens.verify(self._request.token)
        except TokenExpiredError:
            self._connection.fail(self._number, RpcError.of(ErrorCode.TOKEN_EXPIRED))
        except TokenUndecidedError:
            self._connection.fail(self._number, RpcError.of(ErrorCode.INTERNAL))
        except TokenError:
            self._connection.close(Disconnect.INVALID_TOKEN)
        else:
            self._ask(identity)
            await self._over.wait()

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._gateway.requests.drop(self._asked)
        self._gateway.backlog.end(self._token)
        self._span.end()
        self._over.set()

    def _ask(self, identity: Identity) -> None:
        if not self._gateway.ready:
            self._refuse(RpcError.of(ErrorCode.INTERNAL))
            return
        gateway, self._identity = self._gateway, identity
        if gateway.hub.connections(identity.user) >= gateway.limits.user_connections:
            self._connection.close(Disconnect.CONNECTION_LIMIT)
            return
        now = time.monotonic()
        pace = gateway.paces.of(identity.user, now)
        if pace.level(now, gateway.limits.commands) > pace.burst(now, gateway.limits.commands_burst)[0]:
            # Closed for it a moment ago: coming back at once is not to cost archive anything.
            self._connection.close(Disconnect.TOO_MANY_REQUESTS)
            return
        pace.count(now, gateway.limits.commands, DROPS)
        self._connection.authenticated(identity, follows=self._request.server_subs)
        self._token = gateway.backlog.begin(self._overflow)
        self._asked = gateway.requests.number()
        gateway.requests.expect(self._asked, "opening", self._answered, gateway.limits.opening, ErrorCode.INTERNAL)
        question = self._question(identity)
        self._span = gateway.traces.call("connect", question)
        gateway.publish(question, self._asked, self._span)

    def _question(self, identity: Identity) -> OpenSession:
        return OpenSession(
            gateway=self._gateway.id,
            request=self._asked,
            user=identity.user,
            deadline=self._gateway.deadline(self._gateway.limits.opening),
            token=self._token,
            rooms=self._request.server_subs,
            positions=self._positions(),
            **identity.claims,
        )

    def _positions(self) -> dict[RoomId, Position]:
        found = ((protocol.room_of(channel), sub) for channel, sub in self._request.subs.items() if sub.recover)
        return {room: Position(epoch=sub.epoch, offset=sub.offset) for room, sub in found if room is not None}

    def _overflow(self) -> None:
        self._refuse(RpcError.of(ErrorCode.INTERNAL))

    def _answered(self, answer: Answer) -> None:
        if refused := trouble(answer):
            self._span.end(refused)
        if isinstance(answer, SessionOpened):
            self._open(answer)
        elif isinstance(answer, Reply) and answer.error is not None and answer.error.code == ErrorCode.UNAUTHORIZED:
            self._connection.close(Disconnect.INVALID_TOKEN)
        else:
            error = answer.error if isinstance(answer, Reply) else None
            self._refuse(error or RpcError.of(ErrorCode.INTERNAL))

    def _refuse(self, error: RpcError) -> None:
        # Whatever it is, it is our trouble, and an SDK gives up for good on an error that is not temporary; but for one
        # that tells it to get another token.
        if error.code != ErrorCode.TOKEN_EXPIRED:
            error = error.model_copy(update={"temporary": True})
        self._connection.fail(self._number, error)
        self.abandon()

    def _open(self, opened: SessionOpened) -> None:
        rooms = opened.rooms if self._request.server_subs else ()
        frames = self._join(rooms)
        if frames is None:
            self._connection.close(Disconnect.INSUFFICIENT_STATE)
            return
        self._connection.opened(protocol.connected(self._number, self._result(opened), self._subs(rooms)))
        for frame in frames:
            self._connection.push(frame)
        for move in self._gateway.backlog.moves(self._connection.user):
            if isinstance(move, RoomLeft):
                self._connection.leave(move)
            else:
                self._connection.enter(move)
        self.abandon()

    def _join(self, rooms: tuple[OpenedRoom, ...]) -> list[bytes] | None:
        frames: list[bytes] = []
        for room in rooms:
            missed = self._connection.join(room)
            if missed is None:
                return None
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
            "version": VERSION,
            "data": data,
            "expires": True,
            "ttl": ttl(self._identity, self._gateway.time()) if self._identity else 1,
            "ping": self._gateway.limits.ping,
            "pong": True,
            "session": self._connection.session,
            "node": self._gateway.id,
        }

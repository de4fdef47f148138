"""One socket: its state, its clock, its end. What it may ask is in `opening` and `commands`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from pulsar_data.deliveries import RoomEntered
from pulsar_data.errors import Disconnect, ErrorCode, RpcError
from pulsar_data.model import RoomId, UserId
from pulsar_data.tokens import AccessClaims
from socket_gateway import commands, protocol
from socket_gateway.opening import Opening
from socket_gateway.protocol import BadFrameError, Command, ConnectRequest, Pong, Refused
from socket_gateway.wire import Writer, text_frame

if TYPE_CHECKING:
    from socket_gateway.gateway import Gateway

BREATH = 64
"""Commands of one frame handled before others get a turn."""
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class State(Enum):
    """NEW -> OPENING -> OPEN; FAILED after a refused connect, from which nothing leads but the end; CLOSED."""

    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    FAILED = auto()
    CLOSED = auto()


class Connection:
    """Everything but `run` is synchronous and belongs to the event loop's thread. A hub.Member."""

    __slots__ = (
        "_expiry",
        "_extra",
        "_opening",
        "_pinged",
        "_timer",
        "_writer",
        "asked",
        "client",
        "follows",
        "gateway",
        "rooms",
        "session",
        "state",
        "subscribing",
        "user",
    )

    def __init__(self, gateway: Gateway, writer: Writer, client: str) -> None:
        self.gateway = gateway
        self.client = client
        self.state = State.NEW
        self.user = UserId("")
        self.session = ""
        self.follows = True
        """Whether it joins rooms that its user enters."""
        self.rooms: set[RoomId] = set()
        self.subscribing: dict[RoomId, Callable[[], None]] = {}
        """Rooms on their way in, and how to give that up."""
        self.asked: set[int] = set()
        """Numbers of the requests that are not answered yet."""
        self._writer = writer
        self._opening: Opening | None = None
        self._timer = gateway.later(gateway.limits.connect, self.close, Disconnect.STALE)
        self._expiry: asyncio.TimerHandle | None = None
        self._pinged = False
        self._extra = 0

    async def run(self, receive: Receive) -> None:
        """Handle what the client sends, in order, until the socket is closed by either side."""
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await self._frame(message["bytes"])
        finally:
            self._end()

    async def _frame(self, frame: bytes) -> None:
        # The first frame carries positions of hundreds of rooms; later commands are small.
        limit = self.gateway.limits.frame if self.state is State.NEW else self.gateway.limits.text
        try:
            for count, line in enumerate(protocol.lines(frame), start=1):
                await self._handle(protocol.parse(line, limit))
                if self.state is State.CLOSED:
                    return
                if count % BREATH == 0:
                    await asyncio.sleep(0)
        except BadFrameError:
            self.close(Disconnect.BAD_REQUEST)

    async def _handle(self, incoming: protocol.Incoming) -> None:
        if self.state is State.NEW:
            await self._first(incoming)
        elif self.state is not State.OPEN:
            self.close(Disconnect.BAD_REQUEST)
        elif isinstance(incoming, Pong):
            self._pong()
        elif isinstance(incoming, Refused):
            self.refuse(incoming.id, RpcError.of(incoming.code))
        else:
            commands.handle(self, incoming)

    async def _first(self, incoming: protocol.Incoming) -> None:
        """Only a connect may come first. Nothing behind it is looked at until it is answered."""
        match incoming:
            case Command(request=ConnectRequest() as request):
                self.state = State.OPENING
                self._opening = Opening(self, incoming.id, request)
                await self._opening.run()
                self._opening = None
            case Refused():
                self.fail(incoming.id, RpcError.of(incoming.code))
            case _:
                self.close(Disconnect.BAD_REQUEST)

    def authenticated(self, claims: AccessClaims, *, follows: bool) -> None:
        """The token is good: from here on revocations reach this connection."""
        self.user, self.session, self.follows = claims.sub, claims.sid, follows
        self.gateway.hub.add(self)
        self._expiry = self.gateway.later(claims.exp - self.gateway.time(), self.close, Disconnect.EXPIRED)

    def opened(self) -> None:
        """The connect reply has been written."""
        self.state = State.OPEN
        self._timer.cancel()
        self._timer = self.gateway.later(self.gateway.limits.ping, self._ping)

    def fail(self, number: int, error: RpcError) -> None:
        """The connect is refused. The client closes; if it does not, the stale timer does."""
        if self.state is not State.CLOSED:
            self._release()
            self.state = State.FAILED
            self.refuse(number, error)

    def reply(self, number: int, kind: str, result: bytes) -> None:
        """Answer a command."""
        self.answer(protocol.reply(number, kind, result))

    def refuse(self, number: int, error: RpcError) -> None:
        """Answer a command with an error; `send`, which has no number, gets none."""
        if number:
            self.answer(protocol.refuse(number, error))

    def answer(self, payload: bytes) -> None:
        """Write an encoded reply, however large: the client asked for it. Only what follows must wait its turn."""
        frame = text_frame(payload)
        unsent = self._writer.write(frame)
        limit = self.gateway.limits.unsent
        if unsent - len(frame) > limit + self._extra:
            self.close(Disconnect.SLOW)
        elif unsent > limit:
            self._extra = max(self._extra, len(frame))

    def push(self, frame: bytes) -> None:
        """See hub.Member. A client that owes us too much reading is closed."""
        unsent = self._writer.write(frame)
        if unsent <= self.gateway.limits.unsent:
            self._extra = 0
        elif unsent > self.gateway.limits.unsent + self._extra:
            self.close(Disconnect.SLOW)

    def enter(self, entered: RoomEntered) -> bool:
        """See hub.Member."""
        if self.state is not State.OPEN or not self.follows or entered.room in self.rooms:
            return False
        frames = self.gateway.hub.join(self, entered.room, entered.epoch, entered.offset)
        if frames is None:
            self.close(Disconnect.INSUFFICIENT_STATE)
            return False
        self.rooms.add(entered.room)
        channel = protocol.room_channel(entered.room)
        summary = entered.summary.to_dict()
        self.push(text_frame(protocol.subscribe_push(channel, entered.epoch, entered.offset, summary)))
        for frame in frames:
            self.push(frame)
        return True

    def close(self, reason: Disconnect) -> None:
        """End it: everything is released now, the close frame goes out behind what is written."""
        if self.state is State.CLOSED:
            return
        self._end()
        self._writer.end(reason.code, reason.reason, self.gateway.limits.linger)
        self.gateway.closed(self, reason)

    def _end(self) -> None:
        self.state = State.CLOSED
        self._timer.cancel()
        self._release()

    def _release(self) -> None:
        if self._opening is not None:
            self._opening.abandon()
        if self._expiry is not None:
            self._expiry.cancel()
        for number in self.asked:
            self.gateway.requests.drop(number)
        for give_up in list(self.subscribing.values()):
            give_up()
        if self.user:
            rooms, self.rooms = self.rooms, set()
            self.gateway.hub.remove(self, rooms)

    def _ping(self) -> None:
        self._pinged = True
        self._timer = self.gateway.later(self.gateway.limits.pong, self._check_pong)
        self.push(text_frame(protocol.PING))

    def _check_pong(self) -> None:
        if self._pinged:
            self.close(Disconnect.NO_PONG)
        else:
            wait = max(0.0, self.gateway.limits.ping - self.gateway.limits.pong)
            self._timer = self.gateway.later(wait, self._ping)

    def _pong(self) -> None:
        if not self._pinged:  # nobody asked: centrifuge takes this as a broken client, and so do we
            self.close(Disconnect.BAD_REQUEST)
        self._pinged = False

    def too_many(self) -> bool:
        """Whether it has as many unanswered requests as it may."""
        return len(self.asked) >= self.gateway.limits.inflight

    def internal(self, number: int) -> None:
        """Answer a command with error 100, temporary."""
        self.refuse(number, RpcError.of(ErrorCode.INTERNAL))

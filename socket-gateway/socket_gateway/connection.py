"""One socket: its state, its clock, its end. What it may ask is in `opening` and `commands`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from pulsar_data import commands as change
from pulsar_data.deliveries import OpenedRoom, Reply, RoomEntered, RoomLeft
from pulsar_data.errors import Disconnect, ErrorCode, RpcError
from pulsar_data.model import RoomId, UserId
from pulsar_data.queries import Query
from pulsar_data.traces import NOT_TRACED, Span
from socket_gateway import commands, debts, protocol, pushes
from socket_gateway.metrics import CLIENT, OK, outcome
from socket_gateway.opening import Opening
from socket_gateway.pace import Pace
from socket_gateway.prices import price
from socket_gateway.protocol import BadFrameError, Command, ConnectRequest, Form, Pong, Refused
from socket_gateway.requests import Answer, OnAnswer, trouble
from socket_gateway.tokens import Identity
from socket_gateway.wire import Writer, text_frame

if TYPE_CHECKING:
    from socket_gateway.gateway import Gateway
    from socket_gateway.subscribing import Subscribing

GONE = "client_gone"
"""What became of a call whose client did not wait for the answer."""
FOR_GOOD = 3500
"""From this code on it is not to come back: whatever it still sends is of no use to anybody."""
REMEMBERED = 1000
"""Rooms left of which a connection knows that it was told; then it forgets them all, and may be told once more."""
MISBEHAVED = (Disconnect.TOO_MANY_REQUESTS, Disconnect.BAD_REQUEST)
"""Who is closed for one of these would be back at once: it may as well wait here, which costs nothing."""
HELD: Final = 3
"""So many times as long as others, at most: coming back again and again is all that a flood still costs everybody."""
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
        "_early",
        "_expiry",
        "_extra",
        "_form",
        "_opening",
        "_pace",
        "_pinged",
        "_timer",
        "_writer",
        "asked",
        "checking",
        "client",
        "follows",
        "gateway",
        "left",
        "rooms",
        "session",
        "state",
        "subscribing",
        "typed",
        "user",
    )

    def __init__(self, gateway: Gateway, writer: Writer, client: str, form: Form = protocol.JSON) -> None:
        self.gateway = gateway
        self.client = client
        self.state = State.NEW
        self.user = UserId("")
        self.session = ""
        self.follows = True
        """Whether it joins rooms that its user enters."""
        self.checking: str | None = None
        """The session of a new token that is being checked."""
        self.rooms: dict[RoomId, int] = {}
        """Rooms it is in, and the offset at which it joined each."""
        self.left: dict[RoomId, int] = {}
        """Rooms that it was told to have left, and by which event."""
        self.typed: dict[RoomId, float] = {}
        """When it last said that its user types, by room."""
        self.subscribing: dict[RoomId, Subscribing] = {}
        """Rooms on their way in."""
        self.asked: dict[int, Span] = {}
        """Numbers of the requests that are not answered yet, and their spans."""
        self._form = form
        self._writer = form.writer(writer)
        self._opening: Opening | None = None
        self._timer = gateway.later(gateway.limits.connect, self.close, Disconnect.STALE)
        self._expiry: asyncio.TimerHandle | None = None
        self._pinged = False
        self._extra = 0
        self._early: list[bytes] = []
        self._pace: Pace | None = None

    async def run(self, receive: Receive) -> None:
        """Handle what the client sends, in order, until the socket is closed by either side."""
        try:
            while self.state is not State.CLOSED and (message := await receive())["type"] == "websocket.receive":
                await self._frame(message["bytes"])
            if self._writer.stalled:
                self.close(Disconnect.SLOW)
        finally:
            if self.state is not State.CLOSED:
                self.gateway.metrics.closed.labels(CLIENT).inc()
            self._end()

    async def _frame(self, frame: bytes) -> None:
        limit = self.gateway.limits.text
        if self.state is State.NEW:
            limit = self.gateway.limits.first
            if len(frame) > limit:
                self.close(Disconnect.BAD_REQUEST)
                return
        try:
            for piece in self._form.pieces(frame):
                await self._handle(self._form.parse(piece, limit), len(piece))
                await asyncio.sleep(0)  # now it is the turn of others: what is there already comes without one
                if self.state is State.CLOSED:
                    return
        except BadFrameError:
            self.close(Disconnect.BAD_REQUEST)

    async def _handle(self, incoming: protocol.Incoming, size: int) -> None:
        if self.state is State.NEW:
            await self._first(incoming)
        elif self.state is not State.OPEN:
            self.close(Disconnect.BAD_REQUEST)
        elif isinstance(incoming, Pong):
            self._pong()
        elif self._may_ask(incoming, size):
            if isinstance(incoming, Refused):
                self.refuse(incoming.id, RpcError.of(incoming.code))
            else:
                commands.handle(self, incoming)

    def _may_ask(self, incoming: Command | Refused, size: int) -> bool:
        limits, pace = self.gateway.limits, self._pace
        if pace is None:  # nobody: only an open connection is asked for
            return False
        now = time.monotonic()
        allowed, most = pace.burst(now, limits.commands_burst)
        waiting = pace.count(now, limits.commands, price(incoming, size))
        if waiting <= allowed:
            return True
        if waiting <= most:
            self.refuse(incoming.id, RpcError.of(ErrorCode.TOO_MANY_REQUESTS))
        else:  # it does not listen
            pace.shut(now, limits.commands, limits.commands_burst, limits.commands_pause)
            self.close(Disconnect.TOO_MANY_REQUESTS)
        return False

    async def _first(self, incoming: protocol.Incoming) -> None:
        """Only a connect may come first. Nothing behind it is looked at until it is answered."""
        match incoming:
            case Command(request=ConnectRequest() as request):
                self.state = State.OPENING
                self._timer.cancel()  # it has said what it had to: how long the answer takes is ours
                self._opening = Opening(self, incoming.id, request)
                await self._opening.run()
                self._opening = None
            case Refused():
                self.fail(incoming.id, RpcError.of(incoming.code))
            case _:
                self.close(Disconnect.BAD_REQUEST)

    @property
    def sessions(self) -> tuple[str, ...]:
        """See hub.Member."""
        return (self.session,) if self.checking is None else (self.session, self.checking)

    def authenticated(self, identity: Identity, *, follows: bool) -> None:
        """The token is good: from here on revocations reach this connection."""
        self.user, self.follows = identity.user, follows
        self._pace = self.gateway.paces.of(identity.user, time.monotonic())
        self.renewed(identity)
        self.gateway.hub.add(self)
        self.gateway.door.known(self)

    def renewed(self, identity: Identity) -> None:
        """Its token is this one now: the socket ends when it does."""
        self.session = identity.session
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self.gateway.later(identity.expires - self.gateway.time(), self.close, Disconnect.EXPIRED)

    def opened(self, payload: bytes) -> None:
        """The connect is granted: answer it, and push what came for its user meanwhile."""
        self.state = State.OPEN
        self.gateway.metrics.connects.labels(OK).inc()
        self.gateway.presence.came(self)
        self._timer.cancel()
        self._timer = self.gateway.later(self.gateway.limits.ping, self._ping)
        self.answer(payload)
        early, self._early = self._early, []
        for frame in early:  # last: they may be more than it takes
            self.push(frame)

    def fail(self, number: int, error: RpcError) -> None:
        """The connect is refused. The client closes; if it does not, the stale timer does."""
        if self.state is not State.CLOSED:
            self._release()
            self.state = State.FAILED
            self._timer.cancel()
            self._timer = self.gateway.later(self.gateway.limits.connect, self.close, Disconnect.STALE)
            self.gateway.metrics.connects.labels(outcome(error)).inc()
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
        self._note(unsent)
        if unsent - len(frame) > limit + self._extra:
            self.close(Disconnect.SLOW)
        elif unsent > limit:
            self._extra = max(self._extra, len(frame))

    def push(self, frame: bytes) -> None:
        """See hub.Member. A client that owes us too much reading is closed.

        Before its connect is answered nothing is pushed: nobody knows yet whether it may hear it, and SDKs drop it.
        """
        if self.state is not State.OPEN:
            if self.state is State.OPENING:
                self._early.append(frame)
            return
        unsent = self._writer.write(frame)
        self._note(unsent)
        if unsent <= self.gateway.limits.unsent:
            self._extra = 0
        elif unsent > self.gateway.limits.unsent + self._extra:
            self.close(Disconnect.SLOW)

    def _note(self, unsent: int) -> None:
        if unsent > debts.LITTLE:
            self.gateway.debts.owes(self)

    def cut(self) -> None:
        """See debts.Debtor. It would not hear why before it has taken all the rest."""
        self.close(Disconnect.SLOW)
        self._writer.cut_off()

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        return self._writer.unsent

    def hint(self, frame: bytes) -> None:
        """See hub.Member: what is worth nothing a moment later is the first to go."""
        if self.unsent <= self.gateway.limits.unsent // 2:
            self.push(frame)
        else:
            self.gateway.metrics.hints_dropped.inc()

    def join(self, opened: OpenedRoom | RoomEntered) -> list[bytes] | None:
        """Be in a room from that position on; see hub.join."""
        room, summary = opened.summary.room, opened.summary
        frames = self.gateway.hub.join(
            self, room, opened.epoch, opened.offset, presence=summary.presence or False
        )  # fmt: skip
        if frames is not None:
            self.rooms[room] = opened.offset
        return frames

    def enter(self, entered: RoomEntered) -> bool:
        """See hub.Member."""
        if self.state is not State.OPEN or entered.offset <= self.left.get(entered.room, 0):  # out again since
            return False
        if entered.room in self.rooms:  # out and in again, and it heard of neither: now the first is over
            self.rooms[entered.room] = max(self.rooms[entered.room], entered.offset)
            return False
        self.push(pushes.entered(entered))
        if not self.follows:
            return False
        frames = self.join(entered)
        if frames is None:
            self.close(Disconnect.INSUFFICIENT_STATE)
            return False
        self.gateway.presence.entered(self, entered.room)
        channel = protocol.room_channel(entered.room)
        summary = entered.summary.to_dict()
        self.push(text_frame(protocol.subscribe_push(channel, entered.epoch, entered.offset, summary)))
        for frame in frames:
            self.push(frame)
        return True

    def leave(self, left: RoomLeft) -> None:
        """See hub.Member. It may have come back before this was heard: then it joined behind it."""
        behind = max(self.rooms.get(left.room, 0), self.left.get(left.room, 0))
        if self.state is not State.OPEN or behind >= left.offset:
            return
        if len(self.left) >= REMEMBERED:
            self.left.clear()
        self.left[left.room] = left.offset
        self.push(pushes.left(left))
        if left.room in self.rooms:
            self.gateway.presence.left(self, left.room)
            self.quit(left.room)
            self.push(
                text_frame(
                    protocol.unsubscribe_push(protocol.room_channel(left.room), pushes.UNSUBSCRIBED, "not a member")
                )
            )

    def quit(self, room: RoomId) -> None:
        """Be in a room no longer."""
        del self.rooms[room]
        self.typed.pop(room, None)
        self.gateway.hub.leave(self, room)

    def close(self, reason: Disconnect) -> None:
        """End it: everything is released now, the close frame goes out behind what is written."""
        if self.state is State.CLOSED:
            return
        if self.state in (State.NEW, State.OPENING):
            self.gateway.metrics.connects.labels(reason.name.lower()).inc()
        self._end(absent=reason is Disconnect.NO_PONG or self._writer.stalled)
        linger, held = self.gateway.limits.linger, reason in MISBEHAVED
        deaf = held or reason.code >= FOR_GOOD
        if held:  # who were closed together do not come back together
            linger *= HELD * random.uniform(0.5, 1)
        self._writer.end(reason.code, reason.reason, linger, deaf=deaf, held=held)
        self.gateway.closed(self, reason)

    def _end(self, *, absent: bool = False) -> None:
        """`absent`: it has not been there for a while already."""
        if self.state is State.OPEN:
            self.gateway.presence.went(self, 0.0 if absent else self.gateway.limits.absence)
        self.state = State.CLOSED
        self._timer.cancel()
        self._release()

    def _release(self) -> None:
        if self._opening is not None:
            self._opening.abandon()
        if self._expiry is not None:
            self._expiry.cancel()
        for number, span in self.asked.items():
            self.gateway.requests.drop(number)
            span.end(GONE)
        for subscribing in list(self.subscribing.values()):
            subscribing.give_up()
        if self._pace is not None:
            self.gateway.paces.remember(self._pace, self.gateway.limits.commands)
            self._pace = None
        if self.user:
            rooms, self.rooms = self.rooms, {}
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

    def turns_away(self) -> bool:
        """Whether the command in hand is to be refused with 111, as too many wait; if so, its pace takes note."""
        if len(self.asked) < self.gateway.requests.share(self.gateway.limits.inflight):
            return False
        if self._pace is not None:
            self._pace.unheard()
        return True

    def ask(self, message: change.Command | Query, asked: int, answered: OnAnswer, span: Span = NOT_TRACED) -> None:
        """Publish a question of this client; `answered` gets what comes, unless the connection ends before."""

        def answer(got: Answer) -> None:
            self.asked.pop(asked, None)
            answered(got)
            span.end(trouble(got))

        self.asked[asked] = span
        self.gateway.expect(message, asked, answer)
        self.gateway.publish(message, asked, span)

    def question(self, query: Callable[..., Query], answered: OnAnswer, **fields: Any) -> None:
        """Ask archive something for this connection's user."""
        gateway = self.gateway
        asked = gateway.requests.number()
        common = {"gateway": gateway.id, "request": asked, "user": self.user, "deadline": gateway.deadline()}
        message = query(**common, **fields)
        self.ask(message, asked, answered, gateway.traces.call(message.type, message))

    def refused(self, number: int, answer: Answer) -> None:
        """Answer a command with the error that has come."""
        error = answer.error if isinstance(answer, Reply) else None
        self.refuse(number, error or RpcError.of(ErrorCode.INTERNAL))

    def internal(self, number: int) -> None:
        """Answer a command with error 100, temporary."""
        self.refuse(number, RpcError.of(ErrorCode.INTERNAL))

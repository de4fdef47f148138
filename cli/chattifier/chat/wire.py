"""The socket: calls that are repeated until they are answered, and what is pushed, as a queue of happenings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from centrifuge import CentrifugeError, Client, ClientEventHandler, ClientState, ReplyError
from centrifuge.contexts import (
    ConnectedContext,
    ConnectingContext,
    DisconnectedContext,
    ServerPublicationContext,
    ServerSubscribedContext,
    ServerUnsubscribedContext,
)

from chattifier.chat.account import Account
from chattifier.errors import ChatFailed, Refused
from pulsar_data.ids import new_key

WAIT = 10.0
PAUSE = 0.5
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Connected:
    """The socket is open, for the first time or again."""

    user: Json
    rooms: tuple[Json, ...]


@dataclass(frozen=True)
class Lost:
    """The socket is gone; the client is trying to come back."""

    code: int
    reason: str


@dataclass(frozen=True)
class Ended:
    """The socket is gone for good."""

    code: int
    reason: str


@dataclass(frozen=True)
class Entered:
    """A room's channel is open. `missed`: something was pushed meanwhile that the server cannot give again."""

    room: str
    summary: Json | None
    missed: bool


@dataclass(frozen=True)
class Left:
    """The user is in a room no more."""

    room: str


@dataclass(frozen=True)
class Heard:
    """An event of a room, live or recovered."""

    event: Json


Happening = Connected | Lost | Ended | Entered | Left | Heard


@dataclass
class _Ears(ClientEventHandler):
    """Turns what the library tells into happenings. Their queue has no bound: its reader does nothing but print."""

    happenings: asyncio.Queue[Happening] = field(default_factory=asyncio.Queue)
    _was_open: bool = False

    async def on_connecting(self, ctx: ConnectingContext) -> None:
        if self._was_open:
            self.happenings.put_nowait(Lost(ctx.code, ctx.reason))
        self._was_open = False

    async def on_connected(self, ctx: ConnectedContext) -> None:
        self._was_open = True
        self.happenings.put_nowait(Connected(ctx.data["user"], tuple(ctx.data["rooms"])))

    async def on_disconnected(self, ctx: DisconnectedContext) -> None:
        self.happenings.put_nowait(Ended(ctx.code, ctx.reason))

    async def on_subscribed(self, ctx: ServerSubscribedContext) -> None:
        kind, _, room = ctx.channel.partition(":")
        if kind == "room":
            self.happenings.put_nowait(Entered(room, ctx.data, ctx.was_recovering and not ctx.recovered))

    async def on_unsubscribed(self, ctx: ServerUnsubscribedContext) -> None:
        kind, _, room = ctx.channel.partition(":")
        if kind == "room":
            self.happenings.put_nowait(Left(room))

    async def on_publication(self, ctx: ServerPublicationContext) -> None:
        self.happenings.put_nowait(Heard(ctx.pub.data))


class Wire:
    """One user's socket to one gateway."""

    def __init__(self, gateway: str, account: Account) -> None:
        self._ears: Final = _Ears()
        self._client = Client(
            gateway, events=self._ears, get_token=account.token, timeout=WAIT, max_reconnect_delay=5.0, proxy=None
        )

    @property
    def happenings(self) -> asyncio.Queue[Happening]:
        """What is pushed, in order."""
        return self._ears.happenings

    async def open(self) -> None:
        """Begin to connect."""
        await self._client.connect()

    async def close(self) -> None:
        """For good."""
        await self._client.disconnect()

    async def ask(self, method: str, data: Json) -> Json:
        """A read, repeated while the connection is lost. Raises Refused, ChatFailed when the socket has ended."""
        while True:
            try:
                await self._client.ready(timeout=WAIT)
                answer: Json = (await self._client.rpc(method, dict(data), timeout=WAIT)).data
            except ReplyError as error:
                if not error.temporary:
                    raise Refused(error.message) from error
                await asyncio.sleep(PAUSE)
            except CentrifugeError as error:
                if self._client.state is ClientState.DISCONNECTED:
                    raise ChatFailed("The connection has ended.") from error
                await asyncio.sleep(PAUSE)
            else:
                return answer

    async def change(self, method: str, data: Json) -> Json:
        """A change: however often it is sent under its key, it happens once."""
        return await self.ask(method, {**data, "key": new_key(time.time_ns() // 1_000_000)})

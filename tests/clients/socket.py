"""One connection in the Centrifuge JSON protocol: questions with their answers, and whatever is pushed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

ANSWER_WITHIN = 8.0
"""Seconds; the gateway itself gives up after five."""
PING_LATE = 10.0
"""Seconds that the server's ping may be late, as SDKs have it: then nobody is there any more."""
FRAME = 16 * 1024 * 1024
Json = Mapping[str, Any]


class Gone(Exception):
    """The connection has ended, or never was. `code` is the close code, 1006 if there was none."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"connection ended: {code} {reason}")
        self.code = code


class ErrorReply(Exception):
    """The server answered with an error."""

    def __init__(self, code: int, message: str, *, temporary: bool) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.temporary = temporary


class Socket:
    """An open connection. `pushes` must be read all the time: it is what takes the answers in, too.

    `welcome` is the answer to `connect`. Nothing that follows it is looked at before `pushes` is read.
    """

    def __init__(self, connection: ClientConnection, welcome: Json, behind: Sequence[Json]) -> None:
        self.welcome = welcome
        self._connection = connection
        self._behind = behind
        self._last = 1
        self._asked: dict[int, asyncio.Future[Json]] = {}

    @classmethod
    async def open(cls, url: str, request: Json) -> Socket:
        """Connect with a connect request: token, subs. Raises ErrorReply, Gone."""
        try:
            connection = await connect(url, compression=None, ping_interval=None, max_size=FRAME, proxy=None)
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise Gone(1006, type(error).__name__) from error
        try:
            first, *behind = await _first_frame(connection, request)
            return cls(connection, _result(first, "connect"), behind)
        except BaseException:
            await connection.close()
            raise

    async def ask(self, request: str, body: Json) -> Json:
        """Send a command and wait for its result. Raises ErrorReply, Gone."""
        self._last += 1
        number = self._last
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            await self._connection.send(json.dumps({"id": number, request: body}))
            async with asyncio.timeout(ANSWER_WITHIN):
                reply = await answer
        except ConnectionClosed as error:
            raise Gone(_code(error)) from error
        except TimeoutError as error:
            raise Gone(1006, "no answer") from error
        finally:
            self._asked.pop(number, None)
            _heard(answer)
        return _result(reply, request)

    async def rpc(self, method: str, data: Json) -> Json:
        """Call a chat method. Raises ErrorReply, Gone."""
        result: Json = (await self.ask("rpc", {"method": method, "data": data}))["data"]
        return result

    async def pushes(self) -> AsyncIterator[Json]:
        """Every push in order, until the connection ends with Gone. Answers go to those who asked."""
        try:
            async for message in self._messages():
                if not message:
                    await self._connection.send("{}")
                elif "push" in message:
                    yield message["push"]
                else:
                    self._answered(message)
        except ConnectionClosed as error:
            code = _code(error)
        except TimeoutError:
            self._connection.transport.abort()
            code = 1006
        self._forsake(code)
        raise Gone(code)

    async def _messages(self) -> AsyncIterator[Json]:
        """Raises ConnectionClosed; TimeoutError where the server pings no more."""
        loop, silence = asyncio.get_running_loop(), self.welcome["ping"] + PING_LATE
        given_up = loop.time() + silence
        for message in self._behind:
            yield message
        while True:
            async with asyncio.timeout_at(given_up):
                frame = await self._connection.recv()
            for message in _messages_of(frame):
                if not message:
                    given_up = loop.time() + silence
                yield message

    def _answered(self, message: Json) -> None:
        answer = self._asked.get(message["id"])
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _forsake(self, code: int) -> None:
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(Gone(code))

    async def cut(self) -> None:
        """End it without a word to the server: no close frame."""
        self._forsake(1006)
        self._connection.transport.abort()

    async def close(self) -> None:
        """End it."""
        self._forsake(1000)
        await self._connection.close()


async def _first_frame(connection: ClientConnection, request: Json) -> list[Json]:
    try:
        await connection.send(json.dumps({"id": 1, "connect": request}))
        async with asyncio.timeout(ANSWER_WITHIN):
            return _messages_of(await connection.recv())
    except ConnectionClosed as error:
        raise Gone(_code(error)) from error
    except TimeoutError as error:
        raise Gone(1006, "no answer") from error


def _messages_of(frame: str | bytes) -> list[Json]:
    return [json.loads(line) for line in str(frame).split("\n") if line]


def _heard(answer: asyncio.Future[Json]) -> None:
    """Whoever asked may have been cancelled in the same turn: then nobody else looks at the exception."""
    if answer.done() and not answer.cancelled():
        answer.exception()


def _code(error: ConnectionClosed) -> int:
    return error.rcvd.code if error.rcvd is not None else 1006


def _result(reply: Json, request: str) -> Json:
    if "error" in reply:
        error = reply["error"]
        raise ErrorReply(error["code"], error["message"], temporary=error.get("temporary", False))
    result: Json = reply[request]
    return result

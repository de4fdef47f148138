"""The server API: the product around us calls every RPC method over HTTP, as any user or as the system.

The same commands and queries as on a socket, the same answers; only who may call is different: a service token.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from pydantic import Field, JsonValue, ValidationError
from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from pulsar_data import rpc
from pulsar_data.deliveries import Reply
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.ids import SYSTEM
from pulsar_data.model import Model, RoomId, User, UserId
from pulsar_data.queries import GetUser
from pulsar_data.rpc import Caller
from pulsar_data.signals import Typing
from pulsar_data.traces import NOT_TRACED, PROPERTY, parse
from socket_gateway.problems import problem
from socket_gateway.requests import Answer, trouble
from socket_gateway.tokens import ServiceTokens, TokenError
from socket_gateway.typing import TypingParams, where

if TYPE_CHECKING:
    from pulsar_data.commands import Command
    from pulsar_data.queries import Query
    from socket_gateway.gateway import Gateway

log = structlog.get_logger()

KNOWN: Final = 10_000
"""Users remembered to exist."""
REMEMBER: Final = 300.0
"""Seconds for which a user who was there is believed to be."""
CLIENT: Final = "server"
"""What members see as the connection that caused something."""


METHODS: Final[dict[str, type[Model]]] = {**rpc.METHODS, "typing": TypingParams}
"""What can be called, with its parameters."""


class Call(Model):
    """The body of a request. `as_`, `as` on the wire: the user who acts; left out, it is the system."""

    method: str = Field(max_length=64)
    data: dict[str, JsonValue] = Field(default_factory=dict)
    as_: User | None = Field(default=None, alias="as")


class Allowance:
    """So many calls a second of each service, and so many at once in a burst. For one gateway."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, service: str, now: float, rate: float, burst: int) -> bool:
        """Whether another call may be made; `now` in seconds of a clock that only rises."""
        left, at = self._left.get(service, (float(burst), now))
        left = min(float(burst), left + (now - at) * rate)
        self._left[service] = (left - 1, now) if left >= 1 else (left, now)
        return left >= 1


class Users:
    """Who is known to exist: asked of archive, and remembered for a while, or until their sessions end."""

    def __init__(self) -> None:
        self.forgotten = 0
        """How often anybody was forgotten: an answer that was asked for before that may be of before that."""
        self._seen: OrderedDict[UserId, float] = OrderedDict()

    def knows(self, user: UserId) -> bool:
        """Whether it was there a while ago."""
        return user == SYSTEM or time.monotonic() - self._seen.get(user, float("-inf")) < REMEMBER

    def saw(self, user: UserId) -> None:
        """It is there."""
        self._seen[user] = time.monotonic()
        self._seen.move_to_end(user)
        if len(self._seen) > KNOWN:
            self._seen.popitem(last=False)

    def forget(self, user: UserId) -> None:
        """Their sessions have ended, perhaps as they were erased: ask again."""
        self.forgotten += 1
        self._seen.pop(user, None)


class Build(Protocol):
    """Makes the message of a call, given who calls."""

    def __call__(self, caller: Caller) -> Command | Query:
        """Raises ChatError."""


class ServerApi:
    """`handle` answers one request; nothing it is given reaches a log but names and ids."""

    def __init__(self, gateway: Gateway, tokens: ServiceTokens | None) -> None:
        self._gateway = gateway
        self._tokens = tokens
        self._allowance = Allowance()
        self.users = Users()
        self._running = 0

    async def handle(self, request: Request) -> Response:
        """POST /api/rpc."""
        began, who, call = time.monotonic(), None, None
        try:
            who = self._service(request)
            call = await self._call(request)
            response = await self._answer(call, parse(request.headers.get(PROPERTY)))
        except ChatError as error:
            response = problem(error.reply(), str(error))
        except ClientDisconnect:
            response = problem(ChatError(ErrorCode.BAD_REQUEST).reply())
        called = "unknown" if call is None else _known(call.method)
        self._gateway.metrics.server_calls.labels(called, str(response.status_code)).inc()
        log.info(
            "server_call", service=who, method=call and _known(call.method), acting=call and call.as_,
            room=call and _room(call), status=response.status_code, ms=round((time.monotonic() - began) * 1000),
        )  # fmt: skip
        return response

    def _service(self, request: Request) -> str:
        """Who calls. Raises ChatError 101, 111, or 104 where there is no server API."""
        if self._tokens is None:
            raise ChatError(ErrorCode.METHOD_NOT_FOUND, "this gateway has no server API: it has no keys of services")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            service = self._tokens.verify(token.strip() if scheme.lower() == "bearer" else "")
        except TokenError as error:
            raise ChatError(ErrorCode.UNAUTHORIZED, "a service token is needed") from error
        limits = self._gateway.limits
        taken = self._allowance.take(service, time.monotonic(), limits.calls, limits.calls_burst)
        if not taken or self._running >= limits.calls_at_once:
            raise ChatError(ErrorCode.TOO_MANY_REQUESTS, "too many calls at once")
        return service

    async def _call(self, request: Request) -> Call:
        """What is asked. Raises ChatError 106, 107."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._gateway.limits.text:
                raise ChatError(ErrorCode.LIMIT_EXCEEDED, f"a call has at most {self._gateway.limits.text} bytes")
        try:
            return Call.from_json(body)
        except ValidationError as error:
            wrong = ", ".join(sorted({".".join(map(str, one["loc"])) or "body" for one in error.errors()}))
            raise ChatError(ErrorCode.BAD_REQUEST, f"these fields do not fit: {wrong[:200]}") from error

    async def _answer(self, call: Call, traceparent: str) -> Response:
        self._running += 1
        try:
            user = SYSTEM if call.as_ is None else call.as_
            await self._must_exist(user)
            if call.method == "typing":
                return await self._typing(user, where(call.data))
            return _response(await self._ask(user, lambda caller: self._build(call, caller), call.method, traceparent))
        finally:
            self._running -= 1

    def _build(self, call: Call, caller: Caller) -> Command | Query:
        return rpc.build(call.method, call.data, caller, self._gateway.clock.latest())

    async def _typing(self, user: UserId, room: RoomId) -> Response:
        """Tell the room's other members. Raises ChatError 400, 403: the system is a member of no room."""
        gateway = self._gateway
        answer = await self._ask(user, lambda caller: rpc.build("room.get", {"room": room}, caller, gateway.now()))
        if _result(answer).get("role") is None:  # a channel that one has not joined
            raise ChatError(ErrorCode.NOT_A_MEMBER)
        gateway.signal(Typing(room=room, user=user, client=CLIENT, time=gateway.now()))
        return Response(b"{}", media_type="application/json")

    async def _must_exist(self, user: UserId) -> None:
        """On a socket a token says who is there; here the caller does. Raises ChatError 402."""
        if self.users.knows(user):
            return
        forgotten = self.users.forgotten
        answer = await self._ask(user, lambda caller: GetUser(
            gateway=caller.gateway, request=caller.request, user=user, deadline=caller.deadline, target=user,
        ))  # fmt: skip
        profile = _result(answer)
        if profile.get("deleted"):
            raise ChatError(ErrorCode.USER_NOT_FOUND)
        if self.users.forgotten == forgotten:
            self.users.saw(user)

    async def _ask(self, user: UserId, build: Build, method: str = "", traceparent: str = "") -> Answer:
        """`method`: for whose sake something else is asked first, that has no span."""
        gateway = self._gateway
        asked = gateway.requests.number()
        message = build(Caller(user, gateway.id, CLIENT, asked, gateway.deadline()))
        span = gateway.traces.call(method, message, traceparent, trusted=True) if method else NOT_TRACED
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def answered(got: Answer) -> None:
            span.end(trouble(got))
            if not answer.done():  # whoever asked may have gone
                answer.set_result(got)

        gateway.expect(message, asked, answered)
        gateway.publish(message, asked, span)
        return await answer


def _response(answer: Answer) -> Response:
    return Response(to_json(_result(answer)), media_type="application/json")


def _result(answer: Answer) -> dict[str, Any]:
    """Raises ChatError."""
    if not isinstance(answer, Reply):
        raise ChatError(ErrorCode.INTERNAL)
    if answer.error is not None:
        raise ChatError(ErrorCode(answer.error.code))
    return answer.result or {}


def _known(method: str) -> str:
    return method if method in METHODS else "unknown"


def _room(call: Call) -> str | None:
    """For the log: an id, and nothing else that somebody may have put there."""
    room = call.data.get("room")
    return room if isinstance(room, str) and len(room) == 36 else None

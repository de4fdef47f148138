"""The Centrifuge client protocol in JSON (client.proto of centrifugal/protocol): parsing and encoding, no sockets.

A text frame holds one or more JSON objects, separated by newlines. A command has an `id` and one request field; a
reply has the same `id`; a push has none; `{}` is ping and pong. Fields that are false, zero or empty are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from pulsar_data.deliveries import HistoryRead, OpenedRoom
from pulsar_data.errors import ErrorCode, RpcError
from pulsar_data.events import RoomEvent
from pulsar_data.model import Counter, Room, RoomId, UserId
from socket_gateway import __version__
from socket_gateway.wire import Writer

VERSION: Final = f"chattifier {__version__}"
SUBS: Final = 2000
"""Positions in a connect request: ten times the rooms with which a session opens."""
ROOM: Final[TypeAdapter[RoomId]] = TypeAdapter(Room)


class BadFrameError(Exception):
    """Bytes that are not the protocol: the socket is closed with 3501."""


class _Request(BaseModel):
    """What a client sends. SDKs may know fields that we do not: those are ignored.

    `data` is JSON, as it was parsed; to look through it once more would take twice as long as that, for nothing.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class SubscribeRequest(_Request):
    """Of a channel; inside a connect request the channel is the key instead."""

    channel: str = ""
    recover: bool = False
    epoch: str = ""
    offset: Counter = 0


class ConnectRequest(_Request):
    """The first command."""

    token: str = ""
    data: Any = None
    subs: dict[str, SubscribeRequest] = Field(default_factory=dict, max_length=SUBS)

    @property
    def server_subs(self) -> bool:
        """Whether the client wants its rooms without asking: `data: {server_subs: false}` says no."""
        return not (isinstance(self.data, dict) and self.data.get("server_subs") is False)


class UnsubscribeRequest(_Request):
    """Of a channel."""

    channel: str = ""


class RpcRequest(_Request):
    """A chat method."""

    method: str = ""
    data: Any = None


class SendRequest(_Request):
    """Without an answer: `{type: "typing", room}`."""

    data: Any = None


class RefreshRequest(_Request):
    """A new access token of the same user."""

    token: str = ""


class Since(_Request):
    """A position in a channel's history."""

    offset: Counter = 0
    epoch: str = ""


class HistoryRequest(_Request):
    """`limit` 0: only the position now; below 0: as many as one answer may hold."""

    channel: str = ""
    limit: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    since: Since | None = None
    reverse: bool = False


class PresenceRequest(_Request):
    """Who is there."""

    channel: str = ""


class PresenceStatsRequest(_Request):
    """How many are there."""

    channel: str = ""


class PingRequest(_Request):
    """Of the client, unlike the server's."""


class OtherRequest(_Request):
    """A request of the protocol that this server does not offer."""


Request = (
    ConnectRequest
    | SubscribeRequest
    | UnsubscribeRequest
    | RpcRequest
    | SendRequest
    | RefreshRequest
    | HistoryRequest
    | PresenceRequest
    | PresenceStatsRequest
    | PingRequest
    | OtherRequest
)

REQUESTS: Final[dict[str, type[Request]]] = {
    "connect": ConnectRequest,
    "subscribe": SubscribeRequest,
    "unsubscribe": UnsubscribeRequest,
    "rpc": RpcRequest,
    "ping": PingRequest,
    "send": SendRequest,
    "refresh": RefreshRequest,
    "history": HistoryRequest,
    "presence": PresenceRequest,
    "presence_stats": PresenceStatsRequest,
    "publish": OtherRequest,
    "sub_refresh": OtherRequest,
}


@dataclass(frozen=True, slots=True)
class Pong:
    """The client's answer to our ping."""


@dataclass(frozen=True, slots=True)
class Command:
    """A request to answer under its `id`; `send` alone has id 0 and no answer."""

    id: int
    request: Request


@dataclass(frozen=True, slots=True)
class Refused:
    """A command whose content is wrong: an error reply, and the socket lives."""

    id: int
    code: ErrorCode


Incoming = Pong | Command | Refused


@dataclass(frozen=True)
class Form:
    """How the protocol is spoken on a socket: JSON here, Protobuf in `binary`. A client chooses by the subprotocol."""

    subprotocol: str
    pieces: Callable[[bytes], Iterator[bytes]]
    """The commands of a frame."""
    parse: Callable[[bytes, int], Incoming]
    """One command, of so many bytes at most."""
    writer: Callable[[Writer], Writer]
    """Takes frames with one reply or push in JSON, each."""


def lines(frame: bytes) -> Iterator[bytes]:
    """The commands of a frame, unparsed. Raises BadFrameError if there are none."""
    found = [line for line in frame.split(b"\n") if line.strip()]
    if not found:
        raise BadFrameError("empty frame")
    return iter(found)


def parse(line: bytes, limit: int) -> Incoming:
    """One command. `limit` in bytes. Raises BadFrameError; whatever else the client did wrong is a Refused."""
    try:
        value = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        return _damaged(line, error)
    if not isinstance(value, dict):
        raise BadFrameError("not a JSON object")
    return Pong() if not value else command(value, oversize=len(line) > limit)


def _damaged(line: bytes, error: ValueError) -> Refused:
    """JSON that only Python's own parser takes (half an emoji as an escape, say) is refused rather than fatal."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise BadFrameError("not JSON") from error
    if not isinstance(value, dict) or not _id(value):
        raise BadFrameError("not JSON") from error
    return Refused(_id(value), ErrorCode.BAD_REQUEST)


def _id(value: dict[str, Any]) -> int:
    number = value.get("id", 0)
    if type(number) is not int or not 0 <= number < 2**32:
        raise BadFrameError("id is not an unsigned 32-bit number")
    return number


def command(value: dict[str, Any], *, oversize: bool) -> Incoming:
    """That of a parsed object. Raises BadFrameError if it has no id to answer to."""
    number = _id(value)
    if number == 0 and value.get("send") is None:
        raise BadFrameError("a command without id")
    if oversize:
        return Refused(number, ErrorCode.LIMIT_EXCEEDED)
    name = next((name for name in REQUESTS if value.get(name) is not None), None)
    if name is None:
        return Refused(number, ErrorCode.BAD_REQUEST)
    try:
        return Command(number, REQUESTS[name].model_validate(value[name]))
    except ValidationError:
        return Refused(number, ErrorCode.BAD_REQUEST)


JSON: Final = Form("centrifuge-json", lines, parse, lambda writer: writer)


def reply(number: int, kind: str, result: bytes) -> bytes:
    """The answer to a command; `kind` is its request's name, `result` encoded."""
    return b'{"id":%d,"%b":%b}' % (number, kind.encode(), result)


def refuse(number: int, error: RpcError) -> bytes:
    """The error answer to a command."""
    return to_json({"id": number, "error": error.to_dict()})


PING: Final = b"{}"


def client_info(user: UserId, client: str | None) -> dict[str, str]:
    """A ClientInfo: a user, and which connection of it, where known."""
    return {"user": user} if client is None else {"user": user, "client": client}


def publication(event: RoomEvent, client: str | None = None) -> bytes:
    """A Publication of a room event. `client`: the connection that caused it, where known."""
    info = client_info(event.actor, client)
    # Epoch, digest and expiry are between our parts; the client gets the epoch with its position.
    data = event.model_dump_json(exclude_none=True, exclude={"epoch", "digest", "expires"}).encode()
    return b'{"data":%b,"info":%b,"offset":%d,"time":%d}' % (data, to_json(info), event.offset, event.time)


def pub_push(channel: str, pub: bytes) -> bytes:
    """The push of an encoded Publication."""
    return b'{"push":{"channel":"%b","pub":%b}}' % (channel.encode(), pub)


def subscription(opened: OpenedRoom, data: dict[str, Any] | None = None) -> bytes:
    """A SubscribeResult: the position, and what the client missed if it was recovered."""
    result: dict[str, Any] = {
        "recoverable": True, "positioned": True, "epoch": str(opened.epoch), "offset": opened.offset
    }  # fmt: skip
    if opened.was_recovering:
        result["was_recovering"] = True
    if opened.recovered:
        result["recovered"] = True
    if data is not None:
        result["data"] = data
    missed = b",".join(publication(event) for event in opened.publications)
    return to_json(result) if not missed else to_json(result)[:-1] + b',"publications":[%b]}' % missed


def history(read: HistoryRead) -> bytes:
    """A HistoryResult: the position now, and publications."""
    position = b'{"epoch":"%d","offset":%d' % (read.epoch, read.offset)
    found = b",".join(publication(event) for event in read.publications)
    return position + (b',"publications":[%b]}' % found if found else b"}")


def connected(number: int, result: dict[str, Any], subs: Mapping[str, bytes]) -> bytes:
    """The answer to `connect`; `subs` are encoded SubscribeResults by channel."""
    encoded = b",".join(b'"%b":%b' % (channel.encode(), sub) for channel, sub in subs.items())
    return b'{"id":%d,"connect":%b,"subs":{%b}}}' % (number, to_json(result)[:-1], encoded)


def passing_push(channel: str, data: Mapping[str, Any], info: Mapping[str, str] | None = None) -> bytes:
    """The push of something that is in no log: without offset, as 0 would reset an SDK's position."""
    pub = {"data": data} if info is None else {"data": data, "info": info}
    return to_json({"push": {"channel": channel, "pub": pub}})


def presence_push(channel: str, change: str, user: UserId, client: str) -> bytes:
    """`change`: join or leave."""
    return to_json({"push": {"channel": channel, change: {"info": {"user": user, "client": client}}}})


def unsubscribe_push(channel: str, code: int, reason: str) -> bytes:
    """Tells a client that it is no longer in a room. A code below 2500: it must not subscribe again by itself."""
    return to_json({"push": {"channel": channel, "unsubscribe": {"code": code, "reason": reason}}})


def subscribe_push(channel: str, epoch: int, offset: int, data: dict[str, Any]) -> bytes:
    """Tells a client that it is in a room from now on."""
    position = {"recoverable": True, "positioned": True, "epoch": str(epoch), "offset": offset, "data": data}
    return to_json({"push": {"channel": channel, "subscribe": position}})


def room_channel(room: RoomId) -> str:
    """Name of a room's channel."""
    return f"room:{room}"


def user_channel(user: UserId) -> str:
    """Name of a user's own channel."""
    return f"user:{user}"


def room_of(channel: str) -> RoomId | None:
    """The room of a channel; None if it is no room's. The id is checked to be one, in lower case."""
    if not channel.startswith("room:"):
        return None
    try:
        return ROOM.validate_python(channel[len("room:") :])
    except ValidationError:
        return None

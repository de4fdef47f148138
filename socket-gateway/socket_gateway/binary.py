"""The Centrifuge client protocol in Protobuf, for SDKs that speak no other form: Swift, Java, Dart.

A binary frame holds one or more messages, each behind its length (a varint). Inside the gateway there is one protocol:
a command becomes the same request as in `protocol`, and a frame that is ready in JSON is translated as it is written,
once for all members of a room. `data` is JSON in both forms; here it is bytes that hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import structlog
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from pydantic_core import from_json, to_json

from pulsar_data.errors import Disconnect, ErrorCode
from socket_gateway import wire
from socket_gateway.protocol import BadFrameError, Form, Incoming, Pong, Refused, command

MESSAGES: Final[Mapping[str, str]] = {
    "Command": "id 1 uint32, connect 4 ConnectRequest, subscribe 5 SubscribeRequest, unsubscribe 6 UnsubscribeRequest,"
    " publish 7 PublishRequest, presence 8 PresenceRequest, presence_stats 9 PresenceStatsRequest,"
    " history 10 HistoryRequest, ping 11 PingRequest, send 12 SendRequest, rpc 13 RPCRequest,"
    " refresh 14 RefreshRequest, sub_refresh 15 SubRefreshRequest",
    "ConnectRequest": "token 1 string, data 2 bytes, subs 3 map SubscribeRequest",
    "SubscribeRequest": "channel 1 string, recover 3 bool, epoch 6 string, offset 7 uint64",
    "UnsubscribeRequest": "channel 1 string",
    "PublishRequest": "",
    "PresenceRequest": "channel 1 string",
    "PresenceStatsRequest": "channel 1 string",
    "HistoryRequest": "channel 1 string, limit 7 int32, since 8 StreamPosition, reverse 9 bool",
    "StreamPosition": "offset 1 uint64, epoch 2 string",
    "PingRequest": "",
    "SendRequest": "data 1 bytes",
    "RPCRequest": "data 1 bytes, method 2 string",
    "RefreshRequest": "token 1 string",
    "SubRefreshRequest": "",
    "Reply": "id 1 uint32, error 2 Error, push 4 Push, connect 5 ConnectResult, subscribe 6 SubscribeResult,"
    " unsubscribe 7 UnsubscribeResult, presence 9 PresenceResult, presence_stats 10 PresenceStatsResult,"
    " history 11 HistoryResult, ping 12 PingResult, rpc 13 RPCResult, refresh 14 RefreshResult",
    "Error": "code 1 uint32, message 2 string, temporary 3 bool",
    "ConnectResult": "client 1 string, version 2 string, expires 3 bool, ttl 4 uint32, data 5 bytes,"
    " subs 6 map SubscribeResult, ping 7 uint32, pong 8 bool, session 9 string, node 10 string",
    "SubscribeResult": "recoverable 3 bool, epoch 6 string, publications 7 list Publication, recovered 8 bool,"
    " offset 9 uint64, positioned 10 bool, data 11 bytes, was_recovering 12 bool",
    "UnsubscribeResult": "",
    "PresenceResult": "presence 1 map ClientInfo",
    "PresenceStatsResult": "num_clients 1 uint32, num_users 2 uint32",
    "HistoryResult": "publications 1 list Publication, epoch 2 string, offset 3 uint64",
    "PingResult": "",
    "RPCResult": "data 1 bytes",
    "RefreshResult": "client 1 string, version 2 string, expires 3 bool, ttl 4 uint32",
    "Push": "channel 2 string, pub 4 Publication, join 5 Join, leave 6 Leave, unsubscribe 7 Unsubscribe,"
    " subscribe 9 Subscribe",
    "Publication": "data 4 bytes, info 5 ClientInfo, offset 6 uint64, time 9 int64",
    "ClientInfo": "user 1 string, client 2 string",
    "Join": "info 1 ClientInfo",
    "Leave": "info 1 ClientInfo",
    "Unsubscribe": "code 2 uint32, reason 3 string",
    "Subscribe": "recoverable 1 bool, epoch 4 string, offset 5 uint64, positioned 6 bool, data 7 bytes",
}
"""What we use of the protocol: name, number and type of each field. A map's keys are strings."""
log = structlog.get_logger()
_PACKAGE: Final = "chattifier.socket"
_Field = descriptor_pb2.FieldDescriptorProto
_SHARED: Final = 64 * 1024
"""Bytes. A frame up to this size may be on its way to many, and is remembered."""
_REMEMBERED: Final = 64


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="client.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(", ")):
            _add(message, *field.split())
    return file


def _add(message: descriptor_pb2.DescriptorProto, name: str, number: str, *kinds: str) -> None:
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kinds[0] == "map":
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, "key", "1", "string")
        _add(entry, "value", "2", kinds[1])
        field.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"
    elif kinds[-1] in MESSAGES:
        field.type_name = f".{_PACKAGE}.{kinds[-1]}"
    else:
        field.type = _Field.Type.Value(f"TYPE_{kinds[0].upper()}")
        return
    field.type = _Field.TYPE_MESSAGE
    if len(kinds) > 1:
        field.label = _Field.LABEL_REPEATED


_POOL: Final = descriptor_pool.DescriptorPool()
_POOL.AddSerializedFile(_file().SerializeToString())
COMMAND: Final[Descriptor] = _POOL.FindMessageTypeByName(f"{_PACKAGE}.Command")
REPLY: Final[Descriptor] = _POOL.FindMessageTypeByName(f"{_PACKAGE}.Reply")
_Command, _Reply = (message_factory.GetMessageClass(one) for one in (COMMAND, REPLY))


# What clients send


def pieces(frame: bytes) -> Iterator[bytes]:
    """The commands of a frame, undecoded, each when it is asked for: a message may be one byte, a frame a million.

    Raises BadFrameError if there are none, or when one is cut short.
    """
    if not frame:
        raise BadFrameError("empty frame")
    place = 0
    while place < len(frame):
        size, place = _length(frame, place)
        if place + size > len(frame):
            raise BadFrameError("a message is cut short")
        yield frame[place : place + size]
        place += size


def _length(frame: bytes, place: int) -> tuple[int, int]:
    """The varint there, and where it ends. No frame is so long that its length needs more than four bytes."""
    size = 0
    for shift, byte in enumerate(frame[place : place + 4]):
        size |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return size, place + shift + 1
    raise BadFrameError("not a length")


def parse(piece: bytes, limit: int) -> Incoming:
    """One command. `limit` in bytes. Raises BadFrameError; whatever else the client did wrong is a Refused."""
    if not piece:
        return Pong()
    message: Any = _Command()
    try:
        message.ParseFromString(piece)
    except DecodeError as error:
        raise BadFrameError("not Protobuf") from error
    oversize = len(piece) > limit
    try:
        value = _outline(message) if oversize else _plain(message)
    except ValueError as error:
        if not message.id:
            raise BadFrameError("data is not JSON") from error
        return Refused(message.id, ErrorCode.BAD_REQUEST)
    return command(value, oversize=oversize)


def _outline(message: Any) -> dict[str, Any]:
    """Enough of a command to refuse it."""
    return {"id": message.id, "send": message.HasField("send") or None}


def _plain(message: Message) -> dict[str, Any]:
    """The fields that are set, `data` parsed. Raises ValueError if one is not JSON."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: Any, value: Any) -> Any:
    if field.message_type is None:
        return from_json(value, allow_inf_nan=False) if field.type == field.TYPE_BYTES else value
    if field.message_type.GetOptions().map_entry:
        return {key: _plain(one) for key, one in value.items()}
    return _plain(value)


# What they get


def translated(frame: bytes) -> bytes:
    """A frame with one reply or push in JSON, as a frame with the same in Protobuf."""
    return _remembered(frame) if len(frame) <= _SHARED else _translated(frame)


def _translated(frame: bytes) -> bytes:
    reply = _Reply()
    _fill(reply, from_json(wire.payload(frame)))
    encoded = reply.SerializeToString()
    return wire.binary_frame(_prefix(len(encoded)) + encoded)


_remembered = lru_cache(_REMEMBERED)(_translated)


def _fill(message: Any, values: Mapping[str, Any]) -> None:
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in values.items():
        field = fields[name]
        if field.message_type is None:
            setattr(message, name, to_json(value) if field.type == field.TYPE_BYTES else value)
        elif isinstance(value, list):
            for one in value:
                _fill(getattr(message, name).add(), one)
        elif field.message_type.GetOptions().map_entry:
            for key, one in value.items():
                _fill(getattr(message, name)[key], one)
        else:
            getattr(message, name).SetInParent()
            _fill(getattr(message, name), value)


def _prefix(size: int) -> bytes:
    prefix = bytearray()
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix)


class Writer:
    """The outgoing half of a socket whose client speaks Protobuf; see wire.Writer."""

    def __init__(self, writer: wire.Writer) -> None:
        self._writer = writer

    def write(self, frame: bytes) -> int:
        """See wire.Writer; the frame is one in JSON.

        One that Protobuf has no field for would be our fault, and is nobody else's trouble: a frame goes to many.
        """
        try:
            binary = translated(frame)
        except (LookupError, TypeError, ValueError):
            log.exception("not_translated")
            self.end(*Disconnect.SERVER_ERROR.value, wire.LINGER)
            return 0
        return self._writer.write(binary)

    @property
    def unsent(self) -> int:
        """See wire.Writer."""
        return self._writer.unsent

    @property
    def stalled(self) -> bool:
        """See wire.Writer."""
        return self._writer.stalled

    def end(self, code: int, reason: str, linger: float, *, deaf: bool = False, held: bool = False) -> None:
        """See wire.Writer."""
        self._writer.end(code, reason, linger, deaf=deaf, held=held)

    def cut_off(self) -> None:
        """See wire.Writer."""
        self._writer.cut_off()


BINARY: Final = Form("centrifuge-protobuf", pieces, parse, Writer)

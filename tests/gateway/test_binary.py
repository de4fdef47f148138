"""The Protobuf form, without sockets: the same fields as an SDK has, the same requests and replies as in JSON."""

from __future__ import annotations

import base64
import json
from typing import Any
from unittest.mock import Mock

import pytest
from centrifuge.codecs import _ProtobufCodec as Codec
from centrifuge.protocol import client_pb2
from hypothesis import given
from hypothesis import strategies as st

from pulsar_data.errors import ErrorCode, RpcError
from socket_gateway import binary, frames, protocol
from socket_gateway.protocol import BadFrameError, Command, ConnectRequest, HistoryRequest, Pong, Refused, Since
from socket_gateway.wire import payload, text_frame

from .test_protocol import unhurried

LIMIT = 64 * 1024
RESULTS = {
    "ConnectResult": frames.ConnectResult, "SubscribeResult": frames.Subscription, "Error": RpcError,
    "RefreshResult": frames.RefreshResult, "HistoryResult": frames.HistoryResult, "ClientInfo": frames.ClientInfo,
    "PresenceResult": frames.PresenceResult, "PresenceStatsResult": frames.PresenceStatsResult,
    "Publication": frames.RoomPublication, "Join": frames.Presence, "Leave": frames.Presence,
    "Unsubscribe": frames.Unsubscribe,
}  # fmt: skip
REQUESTS = {
    "ConnectRequest": ConnectRequest, "SubscribeRequest": protocol.SubscribeRequest, "RPCRequest": protocol.RpcRequest,
    "UnsubscribeRequest": protocol.UnsubscribeRequest, "SendRequest": protocol.SendRequest, "StreamPosition": Since,
    "RefreshRequest": protocol.RefreshRequest, "HistoryRequest": HistoryRequest,
    "PresenceRequest": protocol.PresenceRequest, "PresenceStatsRequest": protocol.PresenceStatsRequest,
}  # fmt: skip


def encoded(*commands: dict[str, Any]) -> list[bytes]:
    """As an SDK encodes them."""
    return list(binary.pieces(Codec.encode_commands(commands)))


def replies(frame: bytes) -> list[dict[str, Any]]:
    """What an SDK reads in a translated frame; 64-bit numbers are text in its dictionaries."""
    found: list[dict[str, Any]] = Codec.decode_replies(payload(binary.translated(text_frame(frame))))
    return found


@pytest.mark.parametrize("name", binary.MESSAGES)
def test_every_field_is_what_the_sdk_takes_it_for(name: str) -> None:
    """Numbers and types, of ours that it knows: which is all of them."""
    ours = binary.COMMAND.file.message_types_by_name[name]
    theirs = client_pb2.DESCRIPTOR.message_types_by_name[name]
    for field in ours.fields:
        known = theirs.fields_by_name[field.name]
        assert (field.number, field.type, field.is_repeated) == (known.number, known.type, known.is_repeated)
        if field.message_type is not None:
            assert field.message_type.name == known.message_type.name


@pytest.mark.parametrize(("name", "model"), [*RESULTS.items(), *REQUESTS.items()])
def test_nothing_of_the_json_form_is_missing(name: str, model: Any) -> None:
    """Every field of every result, push and request."""
    known = binary.COMMAND.file.message_types_by_name[name].fields_by_name
    assert set(model.model_fields) <= set(known)


def test_every_request_has_its_field() -> None:
    """As in JSON."""
    assert set(protocol.REQUESTS) | {"id"} == set(binary.COMMAND.fields_by_name)


def test_a_command_is_the_same_request_as_in_json() -> None:
    """Strings, numbers, maps, messages in messages, and JSON in bytes."""
    data = {"text": "grüße", "meta": {"n": [1, 2.5, None, True, 2**53]}}
    commands: list[dict[str, Any]] = [
        {"id": 1, "connect": {"token": "t", "data": data, "subs": {"room:x": {"recover": True, "offset": 7}}}},
        {"id": 2, "rpc": {"method": "message.send", "data": data}},
        {"id": 3, "history": {"channel": "room:x", "limit": -1, "since": {"offset": 5, "epoch": "3"}, "reverse": True}},
        {"id": 4, "subscribe": {"channel": "room:x"}},
        {"id": 5, "publish": {}},
        {"id": 6, "ping": {}},
        {"send": {"data": data}},
    ]  # fmt: skip
    expected = [protocol.parse(json.dumps(one).encode(), LIMIT) for one in commands]
    assert [binary.parse(piece, LIMIT) for piece in encoded(*map(_in_bytes, commands))] == expected


def _in_bytes(value: Any) -> Any:
    """As the SDK wants it: `data` as base64 of its bytes."""
    if not isinstance(value, dict):
        return value
    return {name: _base64(one) if name == "data" else _in_bytes(one) for name, one in value.items()}


def _base64(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_an_empty_message_is_a_pong() -> None:
    """As the server's ping is, which is one byte."""
    assert list(binary.pieces(b"\x00")) == [b""]
    assert binary.parse(b"", LIMIT) == Pong()
    assert payload(binary.translated(text_frame(protocol.PING))) == b"\x00"


@pytest.mark.parametrize("frame", [b"", b"\x02\x08", b"\x80", b"\x80\x80\x80\x80\x01", b"\xff\xff\xff\x7f\x08\x01"])
def test_a_frame_without_whole_messages_is_no_protocol(frame: bytes) -> None:
    """Nothing, cut short, without an end of the length, too long."""
    with pytest.raises(BadFrameError):
        list(binary.pieces(frame))


def test_a_frame_is_taken_apart_a_message_at_a_time() -> None:
    """A million of them in one frame are no work before the first is handled."""
    pieces = binary.pieces(b"\x00" * 3 + b"\x02\x08")
    assert [next(pieces) for _ in range(3)] == [b""] * 3
    with pytest.raises(BadFrameError):
        next(pieces)


def test_a_frame_that_has_no_form_in_protobuf_ends_one_socket() -> None:
    """Whoever pushes it to many goes on with the next of them."""
    closed: list[int] = []
    under = Mock(end=lambda code, *_, **__: closed.append(code))
    assert binary.Writer(under).write(text_frame(b'{"push":{"channel":"room:x","of_tomorrow":{}}}')) == 0
    assert closed == [3004]
    under.write.assert_not_called()


def test_a_wrong_command_is_refused_under_its_id() -> None:
    """`data` that is not JSON; too large; none that we know. Without an id there is nothing to answer to."""
    rpc = client_pb2.RPCRequest(method="room.list", data=b"{half")
    large = client_pb2.RPCRequest(method="room.list", data=b'"%s"' % (b"x" * LIMIT))
    for wrong, code in (
        (client_pb2.Command(id=3, rpc=rpc), ErrorCode.BAD_REQUEST),
        (client_pb2.Command(id=4, rpc=large), ErrorCode.LIMIT_EXCEEDED),
        (client_pb2.Command(id=5), ErrorCode.BAD_REQUEST),
        (client_pb2.Command(send={"data": b"x" * LIMIT}), ErrorCode.LIMIT_EXCEEDED),
    ):
        assert binary.parse(wrong.SerializeToString(), LIMIT) == Refused(wrong.id, code)
    for without in (client_pb2.Command(rpc=rpc), client_pb2.Command(ping={}), client_pb2.Command(send={"data": b"{"})):
        with pytest.raises(BadFrameError):
            binary.parse(without.SerializeToString(), LIMIT)


EVIL = [
    b"NaN", b"Infinity", b"1e400", b'"\\ud83d"', b'"\\u0000"', b'"\x00"', b'{"a":1,"a":2}', b"[" * 10_000, b"\xff", b"",
    b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 250 + b"1" + b"}" * 250, b"12345678901234567890123", b'"a" "b"', b"01",
]  # fmt: skip


@pytest.mark.parametrize("data", EVIL, ids=range(len(EVIL)))
def test_data_is_taken_where_it_is_taken_in_json(data: bytes) -> None:
    """As the same value, or not at all; then it is refused, since the frame around it is whole."""
    rpc = client_pb2.RPCRequest(method="message.send", data=data)
    got = binary.parse(client_pb2.Command(id=1, rpc=rpc).SerializeToString(), LIMIT)
    try:
        expected = protocol.parse(b'{"id":1,"rpc":{"method":"message.send","data":%b}}' % (data or b"null"), LIMIT)
    except BadFrameError:
        expected = Refused(1, ErrorCode.BAD_REQUEST)
    assert got == expected


@unhurried
@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(frame: bytes) -> None:
    """Whatever comes."""
    try:
        for piece in binary.pieces(frame):
            assert isinstance(binary.parse(piece, LIMIT), Command | Refused | Pong)
    except BadFrameError:
        pass


def test_replies_and_pushes_say_the_same_as_in_json() -> None:
    """All of a frame, with `data` as the JSON that it is."""
    publication = {"data": {"type": "message_sent", "text": "grüße"}, "info": {"user": "ada", "client": "c"},
                   "offset": 2**53 - 1, "time": 1_700_000_000_000}  # fmt: skip
    room = {"recoverable": True, "positioned": True, "epoch": "3", "offset": 9, "data": {"name": "x"},
            "was_recovering": True, "recovered": True, "publications": [publication, publication]}  # fmt: skip
    whole: list[dict[str, Any]] = [
        {"id": 1, "connect": {"client": "c", "version": "v", "expires": True, "ttl": 870, "ping": 25, "pong": True,
                              "session": "s", "node": "n", "data": {"rooms": []},
                              "subs": {"user:a": {}, "room:x": room}}},
        {"id": 2, "error": {"code": 100, "message": "internal", "temporary": True}},
        {"id": 3, "rpc": {"data": {"seq": 1, "offset": 2}}},
        {"id": 4, "presence": {"presence": {"c": {"user": "ada", "client": "c"}}}},
        {"id": 5, "history": {"epoch": "3", "offset": 4, "publications": [publication]}},
        {"id": 6, "ping": {}},
        {"push": {"channel": "room:x", "pub": publication}},
        {"push": {"channel": "room:x", "join": {"info": {"user": "ada", "client": "c"}}}},
        {"push": {"channel": "room:x", "unsubscribe": {"code": 2000, "reason": "not a member"}}},
        {"push": {"channel": "room:x", "subscribe": {name: room[name] for name in ("recoverable", "epoch", "data")}}},
    ]  # fmt: skip
    for one in whole:
        assert [_plain(found) for found in replies(json.dumps(one).encode())] == [one]


def _plain(value: Any) -> Any:
    """An SDK's dictionary as JSON has it."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _read(name, one) for name, one in value.items()}


def _read(name: str, value: Any) -> Any:
    if name == "data":
        return json.loads(base64.b64decode(value))
    return int(value) if name in ("offset", "time") else _plain(value)


@pytest.mark.parametrize("size", [10, 200, 70_000, 200_000])
def test_frames_of_all_sizes_are_translated(size: int) -> None:
    """The length of a frame takes one, three or nine bytes, ours one to three."""
    one = {"id": 1, "rpc": {"data": "x" * size}}
    assert [_plain(found) for found in replies(json.dumps(one).encode())] == [one]


def test_what_many_get_is_translated_once() -> None:
    """The members of a room share the bytes of a frame, in either form."""
    frame = text_frame(b'{"push":{"channel":"room:x","pub":{"data":1,"offset":1}}}')
    assert binary.translated(frame) is binary.translated(frame)

"""Frames of the wire: whatever a client sends, it is a command, a refusal, or no protocol at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulsar_data.errors import ErrorCode, RpcError
from socket_gateway import protocol
from socket_gateway.protocol import BadFrameError, Command, Pong, Refused, RpcRequest
from socket_gateway.wire import text_frame

LIMIT = 64 * 1024
# Generating takes long on a busy machine; that says nothing about the code.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_command_is_its_id_and_its_request() -> None:
    """The plain case."""
    line = b'{"id":3,"rpc":{"method":"room.list","data":{"limit":1}}}'
    assert protocol.parse(line, LIMIT) == Command(3, RpcRequest(method="room.list", data={"limit": 1}))


def test_an_empty_object_is_a_pong() -> None:
    """As the server's ping is."""
    assert protocol.parse(b"{}", LIMIT) == Pong()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"id":1}', ErrorCode.BAD_REQUEST),
        (b'{"id":1,"dance":{}}', ErrorCode.BAD_REQUEST),
        (b'{"id":1,"rpc":5}', ErrorCode.BAD_REQUEST),
        (b'{"id":1,"rpc":{"method":7}}', ErrorCode.BAD_REQUEST),
        (b'{"id":1,"subscribe":{"channel":"room:x","offset":-1}}', ErrorCode.BAD_REQUEST),
        (b'{"id":1,"rpc":{"method":"\\ud83d"}}', ErrorCode.BAD_REQUEST),
        (b'{"id":1,"rpc":{"data":NaN}}', ErrorCode.BAD_REQUEST),
        (b'{"id":1,"rpc":{"data":"' + b"x" * LIMIT + b'"}}', ErrorCode.LIMIT_EXCEEDED),
    ],
    ids=["no-request", "unknown", "no-object", "wrong-type", "negative", "half-emoji", "nan", "oversize"],
)
def test_a_wrong_command_is_refused_under_its_id(line: bytes, code: ErrorCode) -> None:
    """The socket lives."""
    assert protocol.parse(line, LIMIT) == Refused(1, code)


@pytest.mark.parametrize(
    "line",
    [
        b"x",
        b"5",
        b"[]",
        b"null",
        b'"text"',
        b'{"id":1',
        b"\xff\xfe",
        b'{"id":-1,"ping":{}}',
        b'{"id":4294967296,"ping":{}}',
        b'{"id":1.5,"ping":{}}',
        b'{"id":true,"ping":{}}',
        b'{"id":"1","ping":{}}',
        b'{"ping":{}}',
        b"[" * 60_000,
        b'{"a":' * 20_000,
        b'{"id":' + b"9" * 5000 + b"}",
    ],
    ids=lambda line: line[:12].decode(errors="replace"),
)
def test_other_bytes_are_no_protocol(line: bytes) -> None:
    """Close 3501, and no other exception."""
    with pytest.raises(BadFrameError):
        protocol.parse(line, LIMIT)


@unhurried
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_raise_anything_else(line: bytes) -> None:
    """Parsing is total."""
    try:
        for part in protocol.lines(line):
            protocol.parse(part, LIMIT)
    except BadFrameError:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", *protocol.REQUESTS]), inner),
    max_leaves=10,
)


@unhurried
@given(st.dictionaries(st.sampled_from(["id", "x", *protocol.REQUESTS]), json_values))
def test_no_json_object_raises_anything_else(value: dict[str, object]) -> None:
    """Parsing is total for near misses, too."""
    try:
        protocol.parse(json.dumps(value).encode(), LIMIT)
    except BadFrameError:
        return


def test_an_empty_frame_is_no_protocol() -> None:
    """As centrifuge has it."""
    with pytest.raises(BadFrameError):
        protocol.lines(b" \n\n")


def test_a_frame_holds_several_commands() -> None:
    """Separated by newlines, the last one perhaps followed by one."""
    assert list(protocol.lines(b'{"id":1}\n{"id":2}\n')) == [b'{"id":1}', b'{"id":2}']


def test_server_subs_are_on_unless_the_client_says_false() -> None:
    """Only the literal false opts out."""
    request = protocol.ConnectRequest.model_validate
    assert request({"data": {"server_subs": True}}).server_subs
    assert request({"data": "x"}).server_subs
    assert not request({"data": {"server_subs": False}}).server_subs


def test_errors_say_temporary_only_when_true() -> None:
    """As the protocol's JSON does."""
    assert json.loads(protocol.refuse(4, RpcError.of(ErrorCode.BAD_REQUEST))) == {
        "id": 4,
        "error": {"code": 107, "message": "bad_request"},
    }
    assert json.loads(protocol.refuse(4, RpcError.of(ErrorCode.INTERNAL)))["error"]["temporary"] is True


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_a_frame_is_one_unmasked_text_frame(size: int) -> None:
    """Read back with the websockets library's own parser."""
    frame = text_frame(b"x" * size)
    header = 2 if size < 126 else 4 if size < 65536 else 10
    assert frame[0] == 0x81
    assert len(frame) == header + size
    assert int.from_bytes(frame[2:header] or frame[1:2], "big") == size


@pytest.mark.parametrize("channel", ["room:", "room:x", "user:5", "", "room:{}".format("g" * 36)])
def test_only_rooms_have_room_channels(channel: str) -> None:
    """Anything else is no room."""
    assert protocol.room_of(channel) is None


def test_a_room_has_one_spelling() -> None:
    """Ids are compared in lower case."""
    room = "AAAAAAAA-0000-4000-8000-000000000000"
    assert protocol.room_of(f"room:{room}") == room.lower()

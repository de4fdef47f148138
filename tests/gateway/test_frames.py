"""What the WebSocket layer is trusted with, byte by byte: RFC 6455 as our wire keeps it, without a library's help."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.running_stack import Stack

from .client import session
from .people import Person, sign_up
from .running import running

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
WAIT = 15.0


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """One frame of a client."""
    first, mask = (0x80 if fin else 0) | reserved << 4 | opcode, 0x80 if masked else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, mask | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, mask | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, mask | 127, len(payload))
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


class Raw:
    """A TCP connection after the upgrade."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *frames: bytes) -> None:
        """In one write."""
        self._writer.write(b"".join(frames))
        await self._writer.drain()

    async def read(self) -> tuple[int, bytes]:
        """Opcode and payload of the server's next frame."""
        async with asyncio.timeout(WAIT):
            first, size = await self._reader.readexactly(2)
            assert size < 128, "a server does not mask"
            if size >= 126:
                width = 2 if size == 126 else 8
                size = int.from_bytes(await self._reader.readexactly(width), "big")
            return first & 0x0F, await self._reader.readexactly(size)

    async def reply(self) -> dict[str, Any]:
        """The next reply to a command; pushes and the server's pings are passed over."""
        while True:
            opcode, payload = await self.read()
            assert opcode == TEXT, f"a frame of opcode {opcode} instead of a reply"
            for line in payload.splitlines():
                frame: dict[str, Any] = json.loads(line)
                if frame and "push" not in frame:
                    return frame

    async def closed(self) -> int:
        """The code of the close frame; whatever comes before it is passed over."""
        while True:
            opcode, payload = await self.read()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big") if payload else 1005

    async def ended(self) -> bytes:
        """Until the server has cut the connection; what came before."""
        async with asyncio.timeout(WAIT):
            return await self._reader.read()


@asynccontextmanager
async def raw(url: str, token: str | None = None) -> AsyncIterator[Raw]:
    """A socket; with a token, one with a session. Tries again on a temporary error, as every SDK does."""
    while True:
        async with _raw(url) as connection:
            if token is None or await _is_let_in(connection, token):
                yield connection
                return


async def _is_let_in(connection: Raw, token: str) -> bool:
    """False: not for the moment."""
    await connection.send(frame(TEXT, json.dumps({"id": 1, "connect": {"token": token}}).encode()))
    reply = await connection.reply()
    assert "connect" in reply or reply["error"].get("temporary"), reply
    return "connect" in reply


@asynccontextmanager
async def _raw(url: str) -> AsyncIterator[Raw]:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b" 101 " in (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT)).split(b"\r\n")[0]
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


@pytest.fixture(scope="module")
async def url(stack: Any, jwks: Path) -> AsyncIterator[str]:
    """One gateway for all of these: a bystander's socket lives through whatever they do to it."""
    async with running(stack, jwks) as gateway:
        yield gateway.url


BROKEN = {
    "reserved bit": frame(TEXT, b"{}", reserved=4),
    "all reserved bits": frame(TEXT, b"{}", reserved=7),
    "unknown data opcode": frame(3, b"{}"),
    "unknown control opcode": frame(11),
    "unmasked": frame(TEXT, b"{}", masked=False),
    "long control": frame(PING, b"x" * 126),
    "fragmented control": frame(PING, b"x", fin=False),
    "continuation of nothing": frame(0, b"x"),
    "text inside a text": frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
    "length with the highest bit": struct.pack("!BBQ", 0x81, 0xFF, 1 << 63) + b"mask",
    "close of one byte": frame(CLOSE, b"\x03"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_frames_against_the_rules_end_the_socket(url: str, people: People, broken: bytes) -> None:
    """1002 for what no WebSocket may send, 1009 for a length that nothing has."""
    async with session(url, people[1].token) as (bystander, _), raw(url, people[0].token) as connection:
        await connection.send(broken)
        assert await connection.closed() in (1002, 1009)
        assert (await bystander.ask(ping={}))["ping"] == {}


async def test_text_that_is_not_utf8_ends_the_socket(url: str, people: People) -> None:
    """Whole or cut between two fragments: 1007, or our own word for what is no protocol."""
    for payload in (b"\xff", b'{"id":2,"ping":{}}\xc3\x28', b"\xed\xa0\x80"):
        async with raw(url, people[0].token) as connection:
            await connection.send(frame(TEXT, payload))
            assert await connection.closed() in (1007, 3501)


async def test_a_character_may_be_cut_between_fragments(url: str, people: People) -> None:
    """Only the whole must be UTF-8."""
    command = json.dumps({"id": 2, "rpc": {"method": "é"}}, ensure_ascii=False).encode()
    cut = command.index("é".encode()) + 1
    async with raw(url, people[0].token) as connection:
        await connection.send(frame(TEXT, command[:cut], fin=False), frame(0, command[cut:]))
        assert (await connection.reply())["error"]["code"] == 104


async def test_pings_are_answered_even_between_fragments(url: str, stack: Stack) -> None:
    """With their payload, up to 125 bytes; pongs that nobody asked for are ignored.

    For somebody without rooms, to whom nothing else is sent meanwhile.
    """
    person = await asyncio.to_thread(sign_up, stack.auth)
    async with raw(url, person.token) as connection:
        await connection.send(
            frame(TEXT, b'{"id":2,', fin=False), frame(PING, b"x" * 125), frame(PONG, b"?"), frame(0, b'"ping":{}}')
        )
        assert await connection.read() == (PONG, b"x" * 125)
        assert await connection.reply() == {"id": 2, "ping": {}}


async def test_empty_fragments_and_frames_are_bounded(url: str, people: People) -> None:
    """Some are fine, thousands are not: they would cost us memory and the peer nothing."""
    async with raw(url, people[0].token) as connection:
        await connection.send(
            frame(TEXT, b"", fin=False), *[frame(0, b"", fin=False)] * 50, frame(0, b'{"id":2,"ping":{}}')
        )
        assert await connection.reply() == {"id": 2, "ping": {}}
        await connection.send(frame(TEXT, b"", fin=False), *[frame(0, b"", fin=False)] * 2000)
        assert await connection.closed() == 1009


async def test_a_binary_frame_is_read_as_text(url: str, people: People) -> None:
    """The protocol says text; the bytes are the same, and some clients cannot choose."""
    async with raw(url, people[0].token) as connection:
        await connection.send(frame(BINARY, b'{"id":2,"ping":{}}'))
        assert await connection.reply() == {"id": 2, "ping": {}}


@pytest.mark.parametrize(
    ("sent", "answered"),
    [(1000, {1000}), (1001, {1001}), (3000, {3000}), (4999, {4999}), (None, {1000, 1005})]
    + [(code, {1002}) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)],
)
async def test_a_close_is_answered_once_and_the_connection_ends(
    url: str, people: People, sent: int | None, answered: set[int]
) -> None:
    """With the peer's own code; with 1002 for one that must not be sent."""
    async with raw(url, people[0].token) as connection:
        await connection.send(frame(CLOSE, b"" if sent is None else struct.pack("!H", sent) + b"bye"))
        assert await connection.closed() in answered
        assert await connection.ended() == b""


async def test_a_close_reason_that_is_not_utf8_is_refused(url: str, people: People) -> None:
    """1007 or 1002."""
    async with raw(url, people[0].token) as connection:
        await connection.send(frame(CLOSE, struct.pack("!H", 1000) + b"\xff"))
        assert await connection.closed() in (1002, 1007)


@pytest.mark.parametrize("size", [125, 126, 65535, 65536])
async def test_lengths_at_the_edges_of_their_forms_are_read(url: str, people: People, size: int) -> None:
    """Seven bits, sixteen, sixty-four: a command that is padded to exactly that size is answered."""
    command = b'{"id":2,"rpc":{"method":"room.list","data":{},"pad":"'
    padded = command + b"x" * (size - len(command) - 3) + b'"}}'
    assert len(padded) == size
    async with raw(url, people[0].token) as connection:
        await connection.send(frame(TEXT, padded))
        answer = await connection.reply()
        assert answer["id"] == 2
        assert "rpc" in answer


async def test_bytes_may_come_one_by_one(url: str, people: People) -> None:
    """A slow writer is no broken one."""
    async with raw(url, people[0].token) as connection:
        for byte in frame(TEXT, b'{"id":2,"ping":{}}'):
            await connection.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await connection.reply() == {"id": 2, "ping": {}}


async def test_many_commands_in_one_packet_are_answered_in_order(url: str, stack: Stack) -> None:
    """Frames that arrive together are taken one after the other. For somebody who has asked for nothing else lately."""
    person = await asyncio.to_thread(sign_up, stack.auth)
    async with raw(url, person.token) as connection:
        await connection.send(*[frame(TEXT, b'{"id":%d,"ping":{}}' % number) for number in range(2, 300)])
        for number in range(2, 300):
            assert await connection.reply() == {"id": number, "ping": {}}


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_who_sends_pings_without_end_is_cut_off(url: str, stack: Stack, people: People, opcode: int) -> None:
    """Some are answered, at a rate that no library needs; they are no commands, and would cost us as much as those."""
    person = await asyncio.to_thread(sign_up, stack.auth)
    async with session(url, people[1].token) as (bystander, _), raw(url, person.token) as connection:
        await connection.send(*[frame(PING)] * 30)
        assert [await connection.read() for _ in range(30)] == [(PONG, b"")] * 30
        await connection.send(frame(TEXT, b'{"id":2,"ping":{}}'))
        assert await connection.reply() == {"id": 2, "ping": {}}
        await connection.send(*[frame(opcode)] * 1000)
        await connection.ended()
        assert (await bystander.ask(ping={}))["ping"] == {}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["centrifuge-protobuf"], "centrifuge-protobuf"),
        (["centrifuge-protobuf", "centrifuge-json"], "centrifuge-json"),
        (["centrifuge-json"], "centrifuge-json"),
        (["mqtt", "centrifuge-protobuf"], "centrifuge-protobuf"),
        (["mqtt"], None),
    ],
)
async def test_a_client_chooses_the_form_by_the_subprotocol(url: str, offered: list[str], chosen: str | None) -> None:
    """JSON where it takes both, and where it names neither."""
    async with connect(url, subprotocols=[Subprotocol(name) for name in offered], proxy=None) as socket:
        assert socket.subprotocol == chosen


async def test_what_is_no_protobuf_ends_the_socket(url: str) -> None:
    """As what is no JSON does, also where it is a text frame."""
    for frame in (b"\x02\x08", b"{}", "{}"):
        async with connect(url, subprotocols=[Subprotocol("centrifuge-protobuf")], proxy=None) as socket:
            await socket.send(frame)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 3501

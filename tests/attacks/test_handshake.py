"""Before anybody has shown who they are: pages of other origins, sockets that are silent, requests that never end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import httpx
import pytest
import websockets
from websockets.exceptions import InvalidStatus

from tests.gateway.client import Wire, session
from tests.gateway.people import sign_up
from tests.gateway.test_frames import TEXT, Raw, frame, raw
from tests.running_stack import Stack

from .conftest import Noted

pytestmark = [pytest.mark.stack, pytest.mark.anyio, pytest.mark.usefixtures("unharmed")]
SILENT = 1000
CONNECT = 5.0
"""Seconds that a socket has to connect; see settings.Limits."""
REQUEST = 10.0
"""Seconds that a request has to be there, at the edge and at a gateway."""
SLACK = 10.0
"""Seconds besides, for a busy machine."""


def _origins(edge: str) -> Mapping[str, str]:
    """What a page could be called that wants to be taken for one of the edge's own."""
    host, port = urlsplit(edge).hostname, urlsplit(edge).port
    return {
        "another site": "https://evil.example.org",
        "nowhere: a sandbox, a file": "null",
        "nothing in it": "",
        "ours as a subdomain of theirs": f"{edge}.evil.example.org",
        "ours behind theirs": f"http://evil.{host}:{port}",
        "ours as their user name": f"http://{host}:{port}@evil.example.org",
        "ours as their path": f"http://evil.example.org/{host}:{port}",
        "ours as their fragment": f"http://evil.example.org#{host}:{port}",
        "another port": f"http://{host}:1",
        "no port": f"http://{host}",
        "a dot behind the host": f"http://{host}.:{port}",
        "a path": f"{edge}/x",
        "a slash": f"{edge}/",
        "a blank before it": f"http:// {host}:{port}",
        "two": f"{edge}, http://evil.example.org",
        "two, theirs first": f"http://evil.example.org, {edge}",
        "another scheme": f"ftp://{host}:{port}",
        "an extension": f"chrome-extension://{host}:{port}",
        "no scheme": f"//{host}:{port}",
        "the scheme twice": f"http://http://{host}:{port}",
        "the name of this machine": f"http://localhost:{port}",
        "another way to write the address": f"http://2130706433:{port}",
        "an IPv6 way": f"http://[::ffff:{host}]:{port}",
    }


async def test_no_page_but_our_own_gets_a_socket(stack: Stack, noted: Noted) -> None:
    """403 in the handshake, whatever an origin looks like; without one it is no page, and a token decides."""
    address = stack.report.entrance[1]
    for what, origin in _origins(stack.edge).items():
        assert await _status(address, origin) == 403, f"{what}: {origin}"
        noted(f"Origin, {what}", 403)
    for own in (None, stack.edge, stack.edge.replace("http://", "https://")):
        assert await _status(address, own) == 101, own
        noted(f"Origin, {'none' if own is None else 'our own'}", 101)


async def _status(address: str, origin: str | None) -> int:
    """Of a handshake with this Origin, as it is: a library tidies it up."""
    headers = None if origin is None else {"Origin": origin}
    try:
        async with websockets.connect(address, additional_headers=headers, proxy=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_a_thousand_sockets_that_say_nothing(stack: Stack, noted: Noted) -> None:
    """Each is closed with 3502 after five seconds; meanwhile somebody comes in as ever."""
    person = await asyncio.to_thread(sign_up, stack.auth)
    async with AsyncExitStack() as sockets:
        places = asyncio.Semaphore(50)

        async def one() -> tuple[Raw, float]:
            async with places:
                return await sockets.enter_async_context(raw(stack.gateways[0])), time.monotonic()

        silent = await asyncio.gather(*(one() for _ in range(SILENT)))
        async with session(stack.gateways[0], person.token) as (wire, _):
            assert (await wire.ask(ping={}))["ping"] == {}
        codes = [await silence.closed() for silence, _ in silent]
        assert codes == [3502] * SILENT
        assert time.monotonic() - max(opened for _, opened in silent) < CONNECT + SLACK
    noted(f"{SILENT} sockets that say nothing", 3502)


async def test_who_is_slow_on_purpose_is_cut_off(stack: Stack, noted: Noted) -> None:
    """A head byte by byte, a body, half a frame: at the edge and at a gateway, all at once, each within its time."""
    edge, gateway = (urlsplit(url) for url in (stack.edge, stack.gateways[0]))
    shake = b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: "
    body = b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
    call = b"POST /api/rpc HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n" + body
    login = b"POST /user/login HTTP/1.1\r\nHost: x\r\n" + body
    tries = {
        "a handshake byte by byte, to the edge": _slow(edge.hostname, edge.port, shake, REQUEST),
        "a handshake byte by byte, to a gateway": _slow(gateway.hostname, gateway.port, shake, REQUEST),
        "nothing at all, to a gateway": _slow(gateway.hostname, gateway.port, b"", REQUEST),
        "a call's body byte by byte, to the edge": _slow(edge.hostname, edge.port, call, REQUEST, at_least=0),
        "a login's body byte by byte, to the edge": _slow(edge.hostname, edge.port, login, REQUEST),
        "a call's body byte by byte, to a gateway": _slow(gateway.hostname, gateway.port, call, REQUEST, at_least=0),
        "a connect that stops in its middle": _half(stack.gateways[0], b'{"id":1,"connect":'),
        "pings instead of a connect": _half(stack.gateways[0], b""),
    }
    answers = await asyncio.gather(*tries.values())
    for what, answer in zip(tries, answers, strict=True):
        noted(what, answer)


async def _slow(
    host: str | None, port: int | None, head: bytes, within: float, *, at_least: float = REQUEST / 2
) -> str:
    """Send on, a byte each half second, until it is cut off; how long that took.

    `at_least`: so long it has time. A call without a good token has none, as nobody waits for its body.
    """
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(head)
    begun, sending = time.monotonic(), asyncio.create_task(_dribble(writer))
    try:
        async with asyncio.timeout(within + SLACK):
            answer = await reader.read()  # to the end
    except ConnectionError:
        answer = b""
    finally:
        sending.cancel()
        writer.close()
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:100]
    lasted = time.monotonic() - begun
    assert lasted >= at_least, f"refused after {lasted:.1f} s, so nothing was slow: {answer[:100]!r}"
    return f"cut after {lasted:.0f} s"


async def _dribble(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"x" if writer.get_extra_info("socket") else b"")
        await asyncio.sleep(0.5)


async def _half(url: str, beginning: bytes) -> int:
    """A frame without its end, and protocol pings behind it or instead of it."""
    async with raw(url) as connection:
        if beginning:
            await connection.send(frame(TEXT, beginning + b" " * 1000)[:-900])
        else:
            await connection.send(*[frame(9, b"x")] * 20)
        code = await connection.closed()
        assert code == 3502
        return code


async def test_a_handshake_of_too_much_is_turned_away(stack: Stack, noted: Noted) -> None:
    """Headers of megabytes, thousands of them, paths, versions, keys that are none: 4xx, at both doors."""
    gateway = stack.gateways[0].replace("ws://", "http://").removesuffix("/connection/websocket")
    shake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    cases: Mapping[str, dict[str, str]] = {
        "a header of 1 MB": {**shake, **key, "X-Much": "x" * 1_000_000},
        "2,000 headers": {**shake, **key, **{f"X-{number}": "x" for number in range(2000)}},
        "a header of 20 kB": {**shake, **key, "X-Much": "x" * 20_000},
        "no key": shake,
        "a key that is none": {**shake, "Sec-WebSocket-Key": "x"},
        "another version": {**shake, **key, "Sec-WebSocket-Version": "7"},
        "no upgrade": {"Connection": "close"},
    }
    for door, base in (("edge", stack.edge), ("gateway", gateway)):
        for what, headers in cases.items():
            async with httpx.AsyncClient(base_url=base, timeout=30, trust_env=False) as http:
                try:
                    status = (await http.get("/connection/websocket", headers=headers)).status_code
                except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                    status = 0  # cut while it was still being sent
            assert status == 0 or 400 <= status < 500, f"{what}: {status}"
            noted(f"{what}, to the {door}", status or "cut")
    async with Wire.open(stack.gateways[0]) as wire:
        await wire.send({"connect": {"token": ""}})
        assert await wire.closed() == 3500

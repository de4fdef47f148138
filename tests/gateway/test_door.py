"""Who may come in: sockets without a token, sockets of one address, and requests that never end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pulsar_data.errors import Disconnect
from socket_gateway.door import Door
from socket_gateway.settings import Limits, Settings

from .client import Wire, session
from .people import Person
from .running import running
from .test_frames import raw

People = tuple[Person, Person, Person]


class Guest:
    """A socket that remembers how it was closed."""

    closed: Disconnect | None = None

    def close(self, reason: Disconnect) -> None:
        """For good."""
        self.closed = reason


def _door(**limits: Any) -> Door:
    return Door(Settings("redis://x", "pulsar://x", Path("x"), limits=Limits(**limits)))


def test_who_is_silent_longest_makes_room_and_who_has_shown_a_token_is_counted_no_more() -> None:
    """Nobody who is known is closed for newcomers, however many come."""
    door, guests = _door(newcomers=2, newcomer=0.0), [Guest() for _ in range(5)]
    for guest in guests[:2]:
        door.enter(guest, "192.0.2.1")
    door.known(guests[0])
    for guest in guests[2:]:
        door.enter(guest, "192.0.2.1")
    assert [guest.closed for guest in guests] == [None, Disconnect.STALE, Disconnect.STALE, None, None]


def test_a_crowd_that_has_just_come_is_asked_to_come_again() -> None:
    """Those of a gateway that died: none of them is sent away for good."""
    door, guests = _door(newcomers=2), [Guest() for _ in range(4)]
    for guest in guests:
        door.enter(guest, "192.0.2.1")
    assert [guest.closed for guest in guests] == [None, None] + [Disconnect.TOO_MANY_REQUESTS] * 2
    door.leave(guests[0])
    door.enter(another := Guest(), "192.0.2.1")
    assert another.closed is None


def test_an_address_has_so_many_sockets_until_they_are_gone() -> None:
    """Closed ones count for as long as they linger. Other addresses do not."""
    door, guests = _door(address_connections=1), [Guest() for _ in range(4)]
    for guest, address in zip(guests, ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1"), strict=True):
        door.enter(guest, address)
    assert [guest.closed for guest in guests] == [None, Disconnect.CONNECTION_LIMIT, None, Disconnect.CONNECTION_LIMIT]
    for guest in (guests[0], guests[1], guests[3]):
        door.leave(guest)
    door.enter(another := Guest(), "192.0.2.1")
    assert another.closed is None


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "127.0.0.1"),
        ({"CHATTIFIER_TRUSTED_PROXIES": "1"}, "198.51.100.7"),
        ({"CHATTIFIER_TRUSTED_PROXIES": "2"}, "203.0.113.9"),
        ({"CHATTIFIER_TRUSTED_PROXIES": "3"}, "127.0.0.1"),
        ({"CHATTIFIER_ADDRESS_HEADER": "X-Client-Address"}, "192.0.2.5"),
        ({"CHATTIFIER_ADDRESS_HEADER": "X-Other"}, "127.0.0.1"),
    ],
)
def test_only_what_our_own_proxies_wrote_is_an_address(settings: dict[str, str], address: str) -> None:
    """As in user-auth, by the same two settings; nothing that a stranger writes is believed without them."""
    headers = {"x-forwarded-for": "203.0.113.9, 198.51.100.7", "X-Client-Address": "192.0.2.5"}
    door = Door(Settings.of({"CHATTIFIER_JWKS_FILE": "x", **settings}))
    assert door.address("127.0.0.1", headers) == address


def test_the_limit_of_addresses_is_a_number_or_off() -> None:
    """Off where it is not set, as behind an unknown proxy everybody has one address."""
    some = {"CHATTIFIER_JWKS_FILE": "x"}
    assert Settings.of(some).limits == Limits()
    assert Settings.of(some | {"CHATTIFIER_ADDRESS_CONNECTIONS": "20"}).limits.address_connections == 20
    with pytest.raises(ValueError, match="CHATTIFIER_ADDRESS_CONNECTIONS"):
        Settings.of(some | {"CHATTIFIER_ADDRESS_CONNECTIONS": "-1"})


@asynccontextmanager
async def _silent(url: str, count: int, **options: Any) -> AsyncIterator[list[Wire]]:
    """So many sockets that say nothing."""
    async with AsyncExitStack() as sockets:
        yield [await sockets.enter_async_context(Wire.open(url, **options)) for _ in range(count)]


@pytest.mark.stack
@pytest.mark.anyio
async def test_silent_sockets_are_bounded_and_others_come_in_past_them(stack: Any, jwks: Path, people: People) -> None:
    """3502, long before the connect time; who shows a token meanwhile is let in, and who is in stays."""
    limits = Limits(newcomers=20, newcomer=0.0, connect=60.0, drain=0.1)
    async with (
        running(stack, jwks, limits) as gateway,
        session(gateway.url, people[0].token) as (wire, _),
        _silent(gateway.url, 60) as silent,
    ):
        assert [await one.closed() for one in silent[:40]] == [3502] * 40
        async with session(gateway.url, people[1].token) as (newcomer, _):
            assert (await newcomer.ask(ping={}))["ping"] == {}
        assert (await wire.ask(ping={}))["ping"] == {}
        assert not any(one.over for one in silent[41:])


@pytest.mark.stack
@pytest.mark.anyio
async def test_one_address_has_so_many_connections(stack: Any, jwks: Path, people: People) -> None:
    """One more is closed with 3504; another address is not, and when one goes there is room again."""
    limits, here = Limits(address_connections=3, drain=0.1), {"additional_headers": {"X-Client-Address": "192.0.2.1"}}
    there = {"additional_headers": {"X-Client-Address": "192.0.2.2", "X-Forwarded-For": "192.0.2.1"}}
    async with running(stack, jwks, limits, address_header="X-Client-Address") as gateway:
        async with _silent(gateway.url, 3, **here), _silent(gateway.url, 1, **here) as (fourth,):
            assert await fourth.closed() == 3504
            async with _silent(gateway.url, 1, **there) as (other,):
                assert "connect" in await other.patient(connect={"token": people[0].token})
        async with _silent(gateway.url, 1, **here) as (again,):
            assert "connect" in await again.patient(connect={"token": people[0].token})


SLOW = {
    "nothing at all": b"",
    "a handshake without its end": b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\n",
    "a body that stops": b"POST /api/rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    "another request that stops": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
}


@pytest.mark.stack
@pytest.mark.anyio
@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
async def test_a_request_that_does_not_end_is_cut_off(stack: Any, jwks: Path, people: People, sent: bytes) -> None:
    """However often a byte of it comes: the time counts from its beginning. A socket is no request."""
    async with running(stack, jwks, Limits(request=0.5, drain=0.1)) as gateway:
        host, port = gateway.http.removeprefix("http://").split(":")
        async with session(gateway.url, people[0].token) as (wire, _):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent)
            dribble = asyncio.create_task(_dribble(writer))
            async with asyncio.timeout(15):
                try:
                    while await reader.read(4096):
                        pass
                except ConnectionError:
                    pass
            dribble.cancel()
            writer.close()
            assert (await wire.ask(ping={}))["ping"] == {}


@pytest.mark.stack
@pytest.mark.anyio
@pytest.mark.parametrize("header", ["X-Much: " + "x" * 9000, "\r\n".join(f"X-{number}: x" for number in range(200))])
async def test_a_handshake_that_cannot_be_read_is_refused(stack: Any, jwks: Path, header: str) -> None:
    """400 and the end, not silence: a header that is too long, or too many of them."""
    shake = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    async with running(stack, jwks) as gateway, asyncio.timeout(15):
        host, port = gateway.http.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{shake}{header}\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def _dribble(writer: asyncio.StreamWriter) -> None:
    """A header, byte by byte, for ever."""
    while True:
        await asyncio.sleep(0.1)
        writer.write(b"x")


@pytest.mark.stack
@pytest.mark.anyio
async def test_a_frame_that_does_not_end_lives_no_longer_than_its_silence(
    stack: Any, jwks: Path, people: People
) -> None:
    """Before the connect 3502; in a session 3012, as no pong can come behind half a frame."""
    limits = Limits(connect=0.5, ping=1, pong=0.4, drain=0.1)
    async with running(stack, jwks, limits) as gateway:
        for token, code in ((None, 3502), (people[0].token, 3012)):
            async with raw(gateway.url, token) as connection:
                await connection.send(b"\x81\xfe\xff\xff")
                assert await connection.closed() == code

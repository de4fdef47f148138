"""Typing: from one member to the others, at once or not at all."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from socket_gateway.settings import Limits

from .client import Json, Wire, session
from .people import Person, make_room, say
from .running import running

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]


def _typing(wire: Wire, room: str) -> list[Json]:
    return [
        push["pub"]
        for push in wire.pushes
        if push["channel"] == f"room:{room}" and push.get("pub", {}).get("data", {}).get("type") == "typing"
    ]


async def _in(wire: Wire, room: str) -> None:
    await wire.until(lambda: any(push["channel"] == f"room:{room}" for push in wire.pushes))


async def test_typing_reaches_the_other_members_and_nobody_else(stack: Any, people: People) -> None:
    """By `send` and by `rpc`; on every gateway; without an offset; not the user's own devices, not strangers."""
    ada, grace, mallory = people
    async with (
        session(stack.gateways[0], ada.token) as (one, connected),
        session(stack.gateways[1], ada.token) as (own, _),
        session(stack.gateways[1], grace.token) as (other, _),
        session(stack.gateways[0], mallory.token) as (stranger, _),
    ):
        room = await make_room(one, grace)
        await other.until(lambda: any(push["channel"] == f"room:{room}" for push in other.pushes))
        assert await one.rpc("typing", {"room": room}) == {}
        await other.until(lambda: _typing(other, room))
        (pub,) = _typing(other, room)
        assert pub["info"] == {"user": ada.id, "client": connected["client"]}
        assert pub["data"].keys() == {"type", "room", "actor", "time"}
        assert (pub["data"]["room"], pub["data"]["actor"]) == (room, ada.id)
        assert "offset" not in pub
        await other.socket.send(json.dumps({"send": {"data": {"type": "typing", "room": room}}}))
        await one.until(lambda: _typing(one, room))
        assert await stranger.error(rpc={"method": "typing", "data": {"room": room}}) == 403
        await say(one, room)
        await own.heard(room, 1)
        await own.until(lambda: _typing(own, room))
        assert _typing(own, room)[0]["data"]["actor"] == grace.id
        assert len(_typing(own, room)) == 1
        assert not [push for push in stranger.pushes if push["channel"] == f"room:{room}"]


async def test_typing_again_at_once_tells_nothing_new(stack: Any, jwks: Path, people: People) -> None:
    """Within the interval it is answered and dropped; many rooms at once are too many (111)."""
    ada, grace, _ = people
    limits = Limits(typing=3600.0, typing_rooms=2, drain=0.1)
    async with (
        running(stack, jwks, limits) as gateway,
        session(gateway.url, ada.token) as (one, _),
        session(gateway.url, grace.token) as (other, _),
    ):
        rooms = [await make_room(one, grace) for _ in range(3)]
        for room in rooms:
            await _in(other, room)
        for _ in range(5):
            assert await one.rpc("typing", {"room": rooms[0]}) == {}
        await one.rpc("typing", {"room": rooms[1]})
        await other.until(lambda: _typing(other, rooms[1]))
        assert len(_typing(other, rooms[0])) == 1
        assert await one.error(rpc={"method": "typing", "data": {"room": rooms[2]}}) == 111
        assert await one.error(rpc={"method": "typing", "data": {}}) == 107
        assert await one.error(send={"data": {"type": "song"}}) == 107


async def test_a_slow_reader_gets_messages_but_no_typing(stack: Any, jwks: Path, people: People) -> None:
    """Over half of what a socket may owe, typing is dropped; the messages behind which it waited all arrive."""
    ada, grace, mallory = people
    limits = Limits(typing=0.0, kernel=8 * 1024, stall=60.0, drain=0.1)
    async with (
        running(stack, jwks, limits) as gateway,
        session(gateway.url, ada.token) as (one, _),
        session(gateway.url, grace.token) as (slow, _),
        session(gateway.url, mallory.token) as (quick, _),
    ):
        room = await make_room(one, grace, mallory)
        await slow.until(lambda: any(push["channel"] == f"room:{room}" for push in slow.pushes))
        slow.socket.transport.pause_reading()
        (member,) = [member for member in gateway.gateway.hub.members() if member.user == grace.id]
        sent = 0
        deadline = time.monotonic() + 120
        while member.unsent <= limits.unsent * 3 // 4:  # type: ignore[attr-defined]
            assert time.monotonic() < deadline
            numbers = [await say(one, room, "x" * 4000) for _ in range(5)]
            sent += len(numbers)
        await one.rpc("typing", {"room": room})
        await quick.until(lambda: _typing(quick, room))
        await say(one, room, "the last one")
        slow.socket.transport.resume_reading()
        await slow.heard(room, sent + 1)
        assert slow.events(room)[-1]["text"] == "the last one"
        assert _typing(slow, room) == []

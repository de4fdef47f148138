"""Entering and leaving rooms, news of a user, events without a number: what is pushed beside a room's log."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pulsar
import pytest

from pulsar_data import topics
from pulsar_data.deliveries import Delivery, RoomEntered, RoomLeft, RoomNotice, UserNews
from pulsar_data.events import MessageRead
from pulsar_data.model import RoomId, UserId
from pulsar_data.rooms import RoomSummary
from socket_gateway.wire import text_frame

from .client import Json, Wire, session
from .people import Person, key, make_room, say, sign_up
from .running import Running, running
from .test_frames import TEXT, frame, raw

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]


def told(wire: Wire, channel: str, kind: str) -> list[Json]:
    """Pushes of one kind on a channel."""
    return [push[kind] for push in wire.pushes if push["channel"] == channel and kind in push]


def news(wire: Wire, user: str, kind: str) -> list[Json]:
    """Publications of one type on a user's own channel."""
    return [pub for pub in told(wire, f"user:{user}", "pub") if pub["data"]["type"] == kind]


async def deliver(stack: Any, gateway: Running, *items: Any) -> None:
    """Straight onto the gateway's topic, as router and archive do."""

    def send() -> None:
        client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
        try:
            client.create_producer(topics.gateway(gateway.gateway.id)).send(Delivery(items=items).to_json())
        finally:
            client.close()

    await asyncio.to_thread(send)


async def test_who_is_taken_into_a_room_hears_it_on_its_own_channel_too(stack: Any, people: People) -> None:
    """A client without automatic subscriptions learns of the room there, and of nothing in it until it subscribes."""
    ada, grace, _ = people
    async with (
        session(stack.gateways[0], ada.token) as (one, _),
        session(stack.gateways[1], grace.token) as (follows, _),
        session(stack.gateways[1], grace.token, data={"server_subs": False}) as (asks, _),
    ):
        room = await make_room(one, grace)
        for wire in (follows, asks):
            await wire.until(lambda wire=wire: news(wire, grace.id, "room_entered"))  # type: ignore[misc]
            (pub,) = news(wire, grace.id, "room_entered")
            assert pub["data"]["room"]["room"] == room
            assert "offset" not in pub
        sent = await say(one, room)
        await follows.heard(room, 1)
        assert told(asks, f"room:{room}", "subscribe") == []
        assert (await asks.patient(subscribe={"channel": f"room:{room}"}))["subscribe"]["offset"] == sent["offset"]


async def test_who_is_out_of_a_room_is_unsubscribed_and_hears_no_more(stack: Any, jwks: Path, people: People) -> None:
    """A push for sockets that are in it, also by their own subscription; the room goes on for the others."""
    ada, grace, _ = people
    async with (
        running(stack, jwks) as gateway,
        session(gateway.url, ada.token) as (one, _),
        session(gateway.url, grace.token) as (follows, _),
        session(gateway.url, grace.token, data={"server_subs": False}) as (asks, _),
    ):
        room = await make_room(one, grace)
        channel = f"room:{room}"
        await follows.until(lambda: told(follows, channel, "subscribe"))
        assert "subscribe" in await asks.patient(subscribe={"channel": channel})
        last = await say(one, room)
        here = gateway.gateway.hub.rooms()[RoomId(room)]
        stale = _left(grace, room, here.epoch, 1)
        out = _left(grace, room, here.epoch, last["offset"] + 1)
        await deliver(stack, gateway, stale, out)
        for wire in (follows, asks):
            await wire.until(lambda wire=wire: told(wire, channel, "unsubscribe"))  # type: ignore[misc]
            (push,) = told(wire, channel, "unsubscribe")
            assert push["code"] < 2500
            assert push["reason"]
            assert [pub["data"]["room"] for pub in news(wire, grace.id, "room_left")] == [room]
        await say(one, room)
        await one.heard(room, 2)
        assert (await follows.ask(ping={}))["ping"] == {}
        assert follows.offsets(room) == asks.offsets(room) == [last["offset"]]


async def test_who_follows_by_hand_hears_of_rooms_and_no_more_of_those_it_is_out_of(stack: Any, people: People) -> None:
    """Also where no other connection of its user is at that gateway."""
    ada, grace, _ = people
    async with (
        session(stack.gateways[0], ada.token) as (one, _),
        session(stack.gateways[1], grace.token, data={"server_subs": False}) as (asks, _),
    ):
        room = await make_room(one, grace)
        channel = f"room:{room}"
        await asks.until(lambda: news(asks, grace.id, "room_entered"))
        assert "subscribe" in await asks.patient(subscribe={"channel": channel})
        last = await say(one, room)
        await asks.until(lambda: asks.events(room))
        out = await one.patient(rpc={"method": "member.remove", "data": {"room": room, "key": key(), "user": grace.id}})
        assert "rpc" in out
        await asks.until(lambda: told(asks, channel, "unsubscribe"))
        await say(one, room)
        assert (await asks.ask(ping={}))["ping"] == {}
        assert max(asks.offsets(room)) <= last["offset"] + 1


def _left(who: Person, room: str, epoch: int, offset: int) -> RoomLeft:
    return RoomLeft(user=UserId(who.id), room=RoomId(room), epoch=epoch, offset=offset)


async def test_events_without_a_number_leave_positions_alone(stack: Any, jwks: Path, people: People) -> None:
    """A read mark for the room's members and for the reader's own devices: no offset, nothing between our parts."""
    ada, grace, _ = people
    async with (
        running(stack, jwks) as gateway,
        session(gateway.url, ada.token) as (one, _),
        session(gateway.url, grace.token) as (two, _),
    ):
        room = await make_room(one, grace)
        await two.until(lambda: told(two, f"room:{room}", "subscribe"))
        at = await say(one, room)
        read = MessageRead(
            room=RoomId(room), epoch=1, head=at["offset"], time=int(time.time() * 1000), actor=UserId(grace.id), seq=1
        )
        await deliver(
            stack, gateway, RoomNotice(event=read, client="c"), UserNews(user=UserId(grace.id), news=read, client="c")
        )
        await two.until(lambda: news(two, grace.id, "message_read"))
        (own,) = news(two, grace.id, "message_read")
        await one.heard(room, 2)
        (seen,) = [pub for pub in told(one, f"room:{room}", "pub") if pub["data"]["type"] == "message_read"]
        for pub in (own, seen):
            assert pub["data"].keys() == {"type", "room", "time", "actor", "seq"}
            assert "offset" not in pub
            assert pub["info"] == {"user": grace.id, "client": "c"}
        assert news(one, grace.id, "message_read") == []
        after = await say(one, room)
        await two.until(lambda: any(event.get("offset") == after["offset"] for event in two.events(room)))


async def test_leaving_and_coming_back_works_on_the_real_stack(stack: Any, people: People) -> None:
    """room.leave: unsubscribed everywhere; added again: subscribed again, and the next message arrives once."""
    ada, grace, _ = people
    async with (
        session(stack.gateways[0], ada.token) as (one, _),
        session(stack.gateways[1], grace.token) as (two, _),
    ):
        room = await make_room(one, grace)
        channel = f"room:{room}"
        await two.until(lambda: told(two, channel, "subscribe"))
        await two.rpc("room.leave", {"room": room, "key": key()})
        await two.until(lambda: told(two, channel, "unsubscribe"))
        await say(one, room, "behind its back")
        await one.rpc("member.add", {"room": room, "key": key(), "user": grace.id})
        await two.until(lambda: len(told(two, channel, "subscribe")) == 2)
        sent = await say(one, room, "welcome back")
        await two.until(lambda: sent["offset"] in two.offsets(room))
        assert "behind its back" not in [event.get("text") for event in two.events(room)]


async def test_news_of_a_user_waits_for_the_answer_to_the_connect(stack: Any, jwks: Path) -> None:
    """SDKs drop what comes before, and until it is answered nobody has said that this token may hear it."""
    ada = await asyncio.to_thread(sign_up, stack.auth)  # in no room that must be rebuilt first
    async with running(stack, jwks) as gateway, raw(gateway.url) as connection:
        hub = gateway.gateway.hub
        await connection.send(frame(TEXT, json.dumps({"id": 1, "connect": {"token": ada.token}}).encode()))
        async with asyncio.timeout(15):
            while not hub.has_user(UserId(ada.id)):  # noqa: ASYNC110 - a state
                await asyncio.sleep(0)
        hub.tell(UserId(ada.id), text_frame(b'{"push":{"channel":"user:x"}}'))
        first, second = [json.loads((await connection.read())[1]) for _ in range(2)]
        assert "connect" in first
        assert second == {"push": {"channel": "user:x"}}


async def test_who_is_out_of_a_room_is_not_let_in_by_a_repeat(stack: Any, jwks: Path, people: People) -> None:
    """A broker that died may deliver both again, and the entrance comes first."""
    ada, grace, _ = people
    async with (
        running(stack, jwks) as gateway,
        session(stack.gateways[0], ada.token) as (one, _),
        session(gateway.url, grace.token) as (two, _),
    ):
        room = await make_room(one, grace)
        channel = f"room:{room}"
        await two.until(lambda: told(two, channel, "subscribe"))
        (subscribed,) = told(two, channel, "subscribe")
        summary = RoomSummary.model_validate_json(json.dumps(subscribed["data"]))
        entered = RoomEntered(
            user=UserId(grace.id), room=RoomId(room), epoch=int(summary.head.epoch), offset=summary.head.offset,
            summary=summary,
        )  # fmt: skip
        await one.rpc("member.remove", {"room": room, "key": key(), "user": grace.id})
        await two.until(lambda: told(two, channel, "unsubscribe"))
        out = _left(grace, room, entered.epoch, entered.offset + 1)
        await deliver(stack, gateway, entered, out)
        await say(one, room, "behind its back")
        await deliver(stack, gateway, UserNews(user=UserId(grace.id), news=_read(grace, room)))
        await two.until(lambda: news(two, grace.id, "message_read"))
        assert len(told(two, channel, "subscribe")) == 1
        assert RoomId(room) not in gateway.gateway.hub.rooms()


def _read(who: Person, room: str) -> MessageRead:
    return MessageRead(room=RoomId(room), epoch=1, head=1, time=int(time.time() * 1000), actor=UserId(who.id), seq=1)

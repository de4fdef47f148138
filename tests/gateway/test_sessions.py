"""Sessions on the whole stack: connect, talk over two gateways, enter rooms, come back."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from tests.canary import fresh_password
from tests.patient import Patient

from .client import Wire, session
from .people import Person, key, make_room, say, sign_in, sign_up

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]


async def test_connect_answers_with_the_snapshot(stack: Any, people: People) -> None:
    """User, rooms and positions; and nothing that is false or empty."""
    ada, grace, _ = people
    async with session(stack.gateways[0], ada.token) as (wire, _connected):
        room = await make_room(wire, grace)
        sent = await say(wire, room)
    async with session(stack.gateways[1], ada.token) as (_wire, connected):
        assert connected["data"]["user"].items() >= {"user_id": ada.id, "username": ada.name}.items()
        assert connected["subs"][f"user:{ada.id}"] == {}
        sub = connected["subs"][f"room:{room}"]
        assert (sub["recoverable"], sub["positioned"], sub["offset"]) == (True, True, sent["offset"])
        assert "recovered" not in sub
        (summary,) = [r for r in connected["data"]["rooms"] if r["room"] == room]
        assert summary["head"] == {"seq": 1, "offset": sent["offset"], "epoch": sub["epoch"]}
        assert (connected["ping"], connected["pong"], connected["expires"]) == (25, True, True)
        assert 0 < connected["ttl"] <= 870
        assert connected["session"] == ada.claims["sid"]
        assert connected["node"].startswith("gw-")
        assert connected["version"].startswith("chattifier ")


async def test_a_message_reaches_members_on_every_gateway_once(stack: Any, people: People) -> None:
    """Two devices of one member and another member on another gateway get it, with the sender's connection."""
    ada, grace, _ = people
    async with (
        session(stack.gateways[0], ada.token) as (one, connected),
        session(stack.gateways[1], ada.token) as (two, _),
        session(stack.gateways[1], grace.token) as (other, _),
    ):
        room = await make_room(one, grace)
        numbers = [(await say(one, room, f"m{n}"))["offset"] for n in range(5)]
        assert numbers == list(range(numbers[0], numbers[0] + 5))
        for wire in (one, two, other):
            await wire.heard(room, 5)
            assert wire.offsets(room) == numbers
        push = [push for push in other.pushes if push["channel"] == f"room:{room}" and "pub" in push][-1]
        assert push["pub"]["info"] == {"user": ada.id, "client": connected["client"]}
        assert push["pub"]["offset"] == push["pub"]["data"]["offset"]
        assert push["pub"]["data"]["text"] == "m4"
        assert not {"epoch", "digest"} & push["pub"]["data"].keys()


async def test_a_command_sent_again_gets_the_first_answer(stack: Any, people: People) -> None:
    """Same key: same numbers, `duplicate`, and no second push."""
    ada, _, _ = people
    async with session(stack.gateways[0], ada.token) as (wire, _):
        room = await make_room(wire)
        data = {"room": room, "key": key(), "text": "once"}
        first, again = await wire.rpc("message.send", data), await wire.rpc("message.send", data)
        assert not first["duplicate"]
        assert again == first | {"duplicate": True}
        last = await say(wire, room)
        await wire.until(lambda: last["offset"] in wire.offsets(room))
        assert wire.offsets(room) == [first["offset"], last["offset"]]


async def test_commands_of_one_connection_keep_their_order(stack: Any, people: People) -> None:
    """Many in one frame, without waiting: numbered in the order they were written."""
    ada, _, _ = people
    async with session(stack.gateways[0], ada.token) as (wire, _):
        room = await make_room(wire)
        texts = [f"t{n}" for n in range(60)]
        sends = [{"rpc": {"method": "message.send", "data": {"room": room, "key": key(), "text": t}}} for t in texts]
        await wire.send(*sends)
        await wire.until(lambda: len(wire.events(room)) >= 60)
        assert [event["text"] for event in wire.events(room)] == texts


async def test_a_user_taken_into_a_room_is_told_and_gets_what_follows(stack: Any, people: People) -> None:
    """A `subscribe` push with the summary, then the room's events."""
    ada, grace, _ = people
    async with (
        session(stack.gateways[0], ada.token) as (one, _),
        session(stack.gateways[1], grace.token) as (other, _),
    ):
        room = await make_room(one)
        await say(one, room, "before")
        await one.rpc("member.add", {"room": room, "key": key(), "user": grace.id})
        await other.until(lambda: any(push["channel"] == f"room:{room}" for push in other.pushes))
        (told,) = [push["subscribe"] for push in other.pushes if push["channel"] == f"room:{room}"]
        assert told["data"]["room"] == room
        sent = await say(one, room, "after")
        await other.until(lambda: other.events(room))
        assert other.offsets(room) == [sent["offset"]] == [told["offset"] + 1]


async def test_a_client_that_comes_back_gets_what_it_missed(stack: Any, people: People) -> None:
    """With its position, in order; with a foreign epoch it is told to reload, and gets no part."""
    ada, grace, _ = people
    async with session(stack.gateways[0], ada.token) as (one, _):
        room = await make_room(one, grace)
        async with session(stack.gateways[1], grace.token) as (_other, connected):
            at = connected["subs"][f"room:{room}"]
        missed = [(await say(one, room, f"m{n}"))["offset"] for n in range(3)]
        position = {"recover": True, "epoch": at["epoch"], "offset": at["offset"]}
        async with session(stack.gateways[0], grace.token, subs={f"room:{room}": position}) as (_other, connected):
            sub = connected["subs"][f"room:{room}"]
            assert (sub["was_recovering"], sub["recovered"]) == (True, True)
            assert [pub["offset"] for pub in sub["publications"]] == missed
            assert sub["publications"][0]["info"] == {"user": ada.id}
        foreign = position | {"epoch": "4711"}
        async with session(stack.gateways[0], grace.token, subs={f"room:{room}": foreign}) as (_other, connected):
            sub = connected["subs"][f"room:{room}"]
            assert sub["was_recovering"]
            assert not {"recovered", "publications"} & sub.keys()


async def test_a_member_may_subscribe_by_itself(stack: Any, people: People) -> None:
    """With `server_subs: false`: subscribe, receive, unsubscribe, receive no more; nobody else may (103)."""
    ada, grace, mallory = people
    async with (
        session(stack.gateways[0], ada.token) as (one, _),
        session(stack.gateways[1], grace.token, data={"server_subs": False}) as (other, connected),
        session(stack.gateways[1], mallory.token) as (third, _),
    ):
        assert list(connected["subs"]) == [f"user:{grace.id}"]
        room = await make_room(one, grace)
        channel = f"room:{room}"
        subscribed = (await other.patient(subscribe={"channel": channel}))["subscribe"]
        assert (subscribed["recoverable"], subscribed["data"]["room"]) == (True, room)
        assert await other.refused(subscribe={"channel": channel}) == 105
        assert await third.refused(subscribe={"channel": channel}) == 103
        sent = await say(one, room)
        await other.until(lambda: other.events(room))
        assert (await other.ask(unsubscribe={"channel": channel}))["unsubscribe"] == {}
        await say(one, room)
        assert (await other.ask(ping={}))["ping"] == {}
        assert other.offsets(room) == [sent["offset"]]
        again = {"channel": channel, "recover": True, "epoch": subscribed["epoch"], "offset": sent["offset"]}
        recovered = (await other.patient(subscribe=again))["subscribe"]
        assert [pub["offset"] for pub in recovered["publications"]] == [sent["offset"] + 1]
        assert third.events(room) == []


async def test_what_is_subscribed_already_is_refused(stack: Any, people: People) -> None:
    """Server-side subscriptions count (105); other users' channels and unknown ones do not exist (102)."""
    ada, grace, _ = people
    async with session(stack.gateways[0], ada.token) as (wire, _):
        room = await make_room(wire)
        assert await wire.refused(subscribe={"channel": f"room:{room}"}) == 105
        assert await wire.refused(subscribe={"channel": f"user:{ada.id}"}) == 105
        assert await wire.refused(subscribe={"channel": f"user:{grace.id}"}) == 102
        assert await wire.refused(subscribe={"channel": "lobby"}) == 102
        assert await wire.error(unsubscribe={"channel": "lobby"}) == 102


async def test_a_subscribe_that_is_taken_back_at_once_is_answered_too(stack: Any, people: People) -> None:
    """With 108: it did not come to it. And the room can be had again."""
    async with session(stack.gateways[0], people[0].token) as (wire, _):
        channel = f"room:{await make_room(wire)}"
        await wire.ask(unsubscribe={"channel": channel})
        sent = await wire.send({"subscribe": {"channel": channel}}, {"unsubscribe": {"channel": channel}})
        first, second = await asyncio.wait_for(asyncio.gather(*sent), 15)
        assert first["error"]["code"] == 108
        assert second["unsubscribe"] == {}
        assert "subscribe" in await wire.patient(subscribe={"channel": channel})


async def test_rooms_of_others_stay_closed(stack: Any, people: People) -> None:
    """Neither sending nor reading: 403 for a room one is not in; an unknown room is no better."""
    ada, _, mallory = people
    async with (
        session(stack.gateways[0], ada.token) as (one, _),
        session(stack.gateways[1], mallory.token) as (other, _),
    ):
        room = await make_room(one)
        send = {"method": "message.send", "data": {"room": room, "key": key(), "text": "let me in"}}
        assert await other.refused(rpc=send) == 403
        assert await other.refused(rpc={"method": "message.list", "data": {"room": room}}) in (400, 403)
        nowhere = {"room": str(uuid.uuid4()), "key": key(), "text": "anybody?"}
        assert await other.refused(rpc={"method": "message.send", "data": nowhere}) in (400, 403)
        assert one.events(room) == []


async def test_two_sockets_share_nothing_but_the_room(stack: Any, people: People) -> None:
    """A socket that is closed by its client does not disturb the other of the same session."""
    ada, _, _ = people
    async with session(stack.gateways[0], ada.token) as (wire, _):
        room = await make_room(wire)
        async with session(stack.gateways[0], ada.token) as (second, _):
            assert isinstance(second, Wire)
        sent = await say(wire, room)
        await wire.until(lambda: wire.events(room))
        assert wire.offsets(room) == [sent["offset"]]


async def test_after_a_new_password_a_token_of_before_is_exchanged_where_the_session_goes_on(stack: Any) -> None:
    """109, upon which an SDK asks for another one; of a session that ended it is none any more."""
    person = await asyncio.to_thread(sign_up, stack.auth)
    with httpx.Client(base_url=stack.auth, transport=Patient(), timeout=30) as http:
        other = await asyncio.to_thread(sign_in, http, person.name, person.password)
        changed = {"old": person.password, "new": fresh_password()}
        bearer = {"Authorization": f"Bearer {person.token}"}
        answer = await asyncio.to_thread(http.post, "/user/password", json=changed, headers=bearer)
    async with Wire.open(stack.gateways[0]) as wire:
        assert await wire.refused(connect={"token": person.token}) == 109
    async with Wire.open(stack.gateways[-1]) as wire:
        await wire.send({"connect": {"token": other.token}})
        assert await wire.closed() == 3500
    async with session(stack.gateways[0], answer.raise_for_status().json()["access_token"]):
        pass

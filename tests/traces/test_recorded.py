"""With an exporter: what one call leaves at the collector, over all parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.canary import CANARY
from tests.clients.people import Person
from tests.clients.talkers import fresh_key
from tests.clients.waiting import until
from tests.gateway.client import Wire, session
from tests.traces.collector import Collector, Span
from tests.traces.conftest import Recorded, fresh_traceparent

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
WITHIN = 30.0
Names = set[tuple[str, str]]


async def exported(collector: Collector, trace: str, whole: Callable[[list[Span]], bool]) -> list[Span]:
    """The spans of a trace, as soon as they are whole; without those of messages that a function had before."""

    async def has() -> bool:
        return whole(_first_times(collector.of(trace)))

    try:
        await until("the trace is whole", has, WITHIN, every=0.1)
    except AssertionError as error:
        raise AssertionError(f"{error}: {sorted(span.name for span in collector.of(trace))}") from error
    return _first_times(collector.of(trace))


def _first_times(spans: list[Span]) -> list[Span]:
    """Pulsar brings a message again whose ack it does not have yet, and that is a span of its own, and what follows."""
    had: set[tuple[str, str, str]] = set()
    again: set[str] = set()
    for span in sorted(spans, key=lambda span: span.begin):
        work = (span.service, span.name, span.parent)
        if span.parent in again or (span.name.startswith("process ") and work in had):
            again.add(span.id)
        had.add(work)
    return [span for span in spans if span.id not in again]


def _names(spans: list[Span]) -> Names:
    return {(span.service, span.name) for span in spans}


def _only(spans: list[Span], service: str, name: str) -> Span:
    (found,) = [span for span in spans if (span.service, span.name) == (service, name)]
    return found


async def _room(wire: Wire, other: Wire, bob: Person) -> str:
    made = await wire.rpc("room.create", {"key": fresh_key(), "kind": "group", "name": CANARY, "members": [bob.user]})
    channel = f"room:{made['room']}"
    for one in (wire, other):
        await one.until(lambda one=one: any(push["channel"] == channel for push in one.pushes))  # type: ignore[misc]
    return str(made["room"])


MESSAGE: Names = {
    ("socket-gateway", "message.send"),
    ("socket-gateway", "send commands"),
    ("chat-router", "process commands"),
    ("chat-router", "send events"),
    ("chat-router", "send gateways/{id}"),
    ("message-store", "process events"),
    ("socket-gateway", "push"),
}


async def test_a_message_is_one_trace_from_its_client_to_every_gateway(
    recorded: Recorded, people: tuple[Person, Person]
) -> None:
    (ada, bob), (first, second), collector = people, recorded.gateways, recorded.collector
    async with session(first.url, ada.token) as (one, _), session(second.url, bob.token) as (other, welcome):
        room = await _room(one, other, bob)
        parent = fresh_traceparent()
        _, trace, caller, _ = parent.split("-")
        call = {"room": room, "key": fresh_key(), "text": f"hello {CANARY}", "traceparent": parent}
        sent = await one.rpc("message.send", call)
        await other.until(lambda: any(event["type"] == "message_sent" for event in other.events(room)))
        spans = await exported(collector, trace, lambda spans: _names(spans) == MESSAGE and len(spans) == 8)

    call_span = _only(spans, "socket-gateway", "message.send")
    sending = _only(spans, "socket-gateway", "send commands")
    routed = _only(spans, "chat-router", "process commands")
    logged = _only(spans, "chat-router", "send events")
    delivered = _only(spans, "chat-router", "send gateways/{id}")
    stored = _only(spans, "message-store", "process events")
    pushes = [span for span in spans if span.name == "push"]

    assert call_span.parent == caller
    assert sending.parent == call_span.id
    assert routed.parent == sending.id
    assert logged.parent == delivered.parent == routed.id
    assert stored.parent == logged.id
    assert {push.parent for push in pushes} == {delivered.id}
    assert call_span.kind == "server"
    assert {span.kind for span in (sending, logged, delivered)} == {"producer"}
    assert {span.kind for span in (routed, stored, *pushes)} == {"consumer"}

    # Each gateway has one, whatever the number of its sockets; one of them is the recipient's.
    assert len({push.instance for push in pushes}) == 2
    (bobs,) = [push for push in pushes if push.instance == welcome["node"]]
    assert bobs.attributes["chattifier.sockets"] == 1
    assert bobs.attributes["chattifier.offset"] == sent["offset"]
    assert bobs.attributes["messaging.destination.name"] == f"persistent://chat/gateways/{welcome['node']}"
    assert {span.attributes.get("chattifier.room") for span in (call_span, routed, stored, bobs)} == {room}
    assert call_span.attributes["enduser.id"] == ada.user
    assert routed.attributes["messaging.destination.name"] == "persistent://chat/core/commands"
    assert {"numbered", "committed"} <= set(routed.notes)
    assert not any(span.failed for span in spans)
    assert all(span.begin <= span.end for span in spans)


async def test_a_read_is_one_trace_too(recorded: Recorded, people: tuple[Person, Person]) -> None:
    ada, _ = people
    parent = fresh_traceparent()
    async with session(recorded.gateways[0].url, ada.token) as (one, _):
        await one.rpc("room.list", {"traceparent": parent})
        spans = await exported(recorded.collector, parent.split("-")[1], lambda spans: len(spans) == 3)
    asked = _only(spans, "archive", "process queries")
    assert asked.parent == _only(spans, "socket-gateway", "send queries").id
    assert asked.attributes["chattifier.query"] == "list_rooms"
    assert asked.attributes["enduser.id"] == ada.user


async def test_a_refusal_says_which_and_is_no_failure(recorded: Recorded, people: tuple[Person, Person]) -> None:
    ada, bob = people
    (first, second), parent = recorded.gateways, fresh_traceparent()
    async with session(first.url, ada.token) as (one, _), session(second.url, bob.token) as (other, _):
        room = await _room(one, other, bob)
        await one.rpc("member.remove", {"room": room, "key": fresh_key(), "user": bob.user})
        data: dict[str, Any] = {"room": room, "key": fresh_key(), "text": CANARY, "traceparent": parent}
        assert await other.error(rpc={"method": "message.send", "data": data}) == 403
        spans = await exported(recorded.collector, parent.split("-")[1], lambda spans: len(spans) == 3)
    for span in (_only(spans, "socket-gateway", "message.send"), _only(spans, "chat-router", "process commands")):
        assert span.attributes["error.type"] == "not_a_member"
        assert not span.failed


async def test_a_call_without_a_trace_begins_one(recorded: Recorded, people: tuple[Person, Person]) -> None:
    """As does one with a `traceparent` that is none."""
    ada, bob = people
    (first, second), collector = recorded.gateways, recorded.collector
    async with session(first.url, ada.token) as (one, _), session(second.url, bob.token) as (other, _):
        room = await _room(one, other, bob)
        for more in ({}, {"traceparent": "00-nothing-of-the-kind-01"}, {"traceparent": 7}):
            before = {span.trace for span in collector.spans}
            await one.rpc("message.send", {"room": room, "key": fresh_key(), "text": CANARY, **more})

            async def begun(before: set[str] = before) -> bool:
                fresh = [span for span in list(collector.spans) if span.trace not in before]
                roots = [span.trace for span in fresh if span.name == "message.send" and not span.parent]
                return any(_names(collector.of(trace)) == MESSAGE for trace in roots)

            await until("a whole trace that begins here", begun, WITHIN, every=0.1)


async def test_no_span_holds_what_somebody_wrote(recorded: Recorded, people: tuple[Person, Person]) -> None:
    """Neither texts nor names nor tokens, of this test or of any before it."""
    (ada, bob), (first, second), parent = people, recorded.gateways, fresh_traceparent()
    async with session(first.url, ada.token) as (one, _), session(second.url, bob.token) as (other, _):
        room = await _room(one, other, bob)
        meta = {"mood": CANARY}
        data = {"room": room, "key": fresh_key(), "text": CANARY, "meta": meta, "traceparent": parent}
        await one.rpc("message.send", data)
        assert await other.refused(rpc={"method": "user.find", "data": {"username": CANARY}}) == 402
        await exported(recorded.collector, parent.split("-")[1], lambda spans: _names(spans) == MESSAGE)
    everything = b"".join(recorded.collector.raw)
    for secret in (CANARY, ada.token, bob.token):
        assert secret.encode() not in everything

"""The contract between the parts: what is refused, what is kept, how names look."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chat_functions.outbox import publication_json
from pulsar_data import ids, redis_keys, rpc, topics
from pulsar_data.accounts import ACCOUNT_EVENT
from pulsar_data.commands import COMMAND, SendMessage
from pulsar_data.deliveries import Delivery, Publication
from pulsar_data.errors import ChatError, Disconnect, ErrorCode
from pulsar_data.events import LOG_ENTRY, MessageSent
from pulsar_data.model import RoomId, UserId
from pulsar_data.queries import QUERY
from pulsar_data.tokens import SessionsRevoked

ROOM = RoomId("0b0d5c1e-6f0b-4a4e-9a3f-2b1f6f3f9c10")
USER = UserId("1b0d5c1e-6f0b-4a4e-9a3f-2b1f6f3f9c10")
NOW = 1_800_000_000_000
CALLER = rpc.Caller(user=USER, gateway="gw-1", client="c", request=7, deadline=NOW + 2000)
SOURCES = Path(__file__).parents[2]


def send(**changes: object) -> dict[str, object]:
    """A good `message.send`."""
    return {"room": ROOM, "key": ids.new_key(NOW), "text": "hello", **changes}


@pytest.mark.parametrize("adapter", [COMMAND, LOG_ENTRY, QUERY], ids=["command", "event", "query"])
@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{}", b'{"type":"of_tomorrow"}', b'"x"', b"\xff"])
def test_what_is_no_message_of_ours_is_refused(adapter: object, payload: bytes) -> None:
    """Not JSON, no type, a type of a later version: all a ValidationError."""
    with pytest.raises(ValidationError):
        adapter.validate_json(payload)  # type: ignore[attr-defined]


def test_an_extra_field_is_refused_and_not_passed_on() -> None:
    """A field that this version does not know may change the meaning: it is not dropped silently."""
    command = rpc.build("message.send", send(), CALLER, NOW)
    good = command.to_json()
    assert COMMAND.validate_json(good) == command
    with pytest.raises(ValidationError, match="extra"):
        COMMAND.validate_json(good[:-1] + b',"priority":1}')


def test_an_event_of_a_later_version_is_read_without_what_is_new_in_it() -> None:
    """What has happened has happened: a part that is upgraded last does not bury it, and clients live like that too."""
    event = MessageSent(
        room=ROOM, epoch=1, offset=1, time=NOW, actor=USER, key=ids.new_key(NOW), digest="d", seq=1, text="hello"
    )
    later = event.to_json()[:-1] + b',"priority":1}'
    assert LOG_ENTRY.validate_json(later) == event
    delivery = Delivery(items=(Publication(event=event),)).to_json()
    assert Delivery.from_json(delivery.replace(event.to_json(), later)) == Delivery.from_json(delivery)
    revoked = SessionsRevoked(user=USER, time=NOW)
    assert ACCOUNT_EVENT.validate_json(revoked.to_json()[:-1] + b',"priority":1}') == revoked


@pytest.mark.parametrize(
    "changes",
    [
        {"room": "x"}, {"room": 5}, {"room": "{" + ROOM + "}"}, {"key": str(uuid.uuid4())}, {"key": None},
        {"key": ids.new_key(NOW + ids.KEY_AHEAD + 1)}, {"text": 5}, {"text": None}, {"reply_to": "1"},
        {"reply_to": -1}, {"reply_to": True}, {"mentions": ["x"]}, {"mentions": "x"}, {"meta": []},
        {"meta": {"a": float("nan")}}, {"meta": {"a": float("inf")}}, {"priority": 1},
    ],
)  # fmt: skip
def test_bad_parameters_are_107(changes: dict[str, object]) -> None:
    """Another JSON type is never coerced; keys must be UUIDv7 of about now."""
    with pytest.raises(ChatError) as caught:
        rpc.build("message.send", send(**changes), CALLER, NOW)
    assert caught.value.code is ErrorCode.BAD_REQUEST


def test_an_unknown_method_is_104() -> None:
    """Whatever comes with it."""
    with pytest.raises(ChatError) as caught:
        rpc.build("message.sing", {"x": 1}, CALLER, NOW)
    assert caught.value.code is ErrorCode.METHOD_NOT_FOUND


def test_meta_is_carried_untouched() -> None:
    """Nulls, nesting and large numbers survive; fields that are not set are not sent."""
    meta = {"a": None, "b": {"c": [1, None, "x"]}, "n": 2**60, "f": 0.1, "t": True}
    command = rpc.build("message.send", send(meta=meta), CALLER, NOW)
    again = COMMAND.validate_json(command.to_json())
    assert isinstance(again, SendMessage)
    assert again.meta == meta
    assert b"reply_to" not in command.to_json()


def test_one_id_has_one_spelling() -> None:
    """Upper-case UUIDs are the same room."""
    command = rpc.build("message.send", send(room=ROOM.upper()), CALLER, NOW)
    assert isinstance(command, SendMessage)
    assert command.room == ROOM


@given(st.integers(0, 2**48 - 1))
def test_a_key_carries_its_time(now: int) -> None:
    """UUIDv7: 48 bits of milliseconds."""
    key = ids.new_key(now)
    assert ids.key_time(key) == now
    assert uuid.UUID(key).version == 7
    assert uuid.UUID(key).variant == uuid.RFC_4122


def test_created_twice_is_the_same_room() -> None:
    """Room ids repeat: of creator and key, and of a pair whoever starts."""
    key = ids.new_key(time.time_ns() // 1_000_000)
    assert ids.created_room(USER, key) == ids.created_room(USER, key)
    other = UserId(str(uuid.uuid4()))
    assert ids.direct_room(USER, other) == ids.direct_room(other, USER)
    assert ids.created_room(USER, key) != ids.created_room(other, key)


def test_a_direct_room_is_of_two() -> None:
    """Not of one, not of three."""
    for members in ([], [USER], [str(uuid.uuid4()), str(uuid.uuid4())]):
        with pytest.raises(ChatError) as caught:
            rpc.build("room.create", {"key": ids.new_key(NOW), "kind": "direct", "members": members}, CALLER, NOW)
        assert caught.value.code is ErrorCode.BAD_REQUEST


def test_a_delivery_is_its_items() -> None:
    """The router writes `{"items":[...]}` around items, and a publication around an event, that it encoded once."""
    key = ids.new_key(NOW)
    event = MessageSent(
        room=ROOM, epoch=1, offset=2, time=NOW, actor=USER, key=key, seq=1, text="hello", digest="d"
    )  # fmt: skip
    for client in (None, "c"):
        item = publication_json(event.to_json(), client)
        assert Delivery.from_json(b'{"items":[%b]}' % item) == Delivery(
            items=(Publication(event=event, client=client),)
        )


def test_every_room_key_lies_in_the_rooms_slot() -> None:
    """One hash tag, so a script's keys are on one node of a Redis Cluster."""
    keys = [
        redis_keys.head(ROOM), redis_keys.members(ROOM), redis_keys.recent(ROOM), redis_keys.interest(ROOM),
        redis_keys.idempotency(ROOM, USER, "k"),
    ]  # fmt: skip
    assert all(key.startswith(f"room:{{{ROOM}}}:") for key in keys)


def test_nobody_writes_redis_keys_by_hand() -> None:
    """Key names are in redis_keys alone. (The gateway's protocol.py has `room:` and `user:` as names of channels.)"""
    prefix = re.compile(r"""["'](room:|user:|presence:|token-version:|limit:)""")
    folders = ("pulsar-functions", "socket-gateway/socket_gateway", "functions/user-auth")
    files = [path for folder in folders for path in (SOURCES / folder).rglob("*.py") if path.name != "protocol.py"]
    assert files
    assert [path for path in files if prefix.search(path.read_text("utf-8"))] == []


def test_topic_names_are_the_contract() -> None:
    """Dashboards and other people's functions use them."""
    assert topics.COMMANDS == "persistent://chat/core/commands"
    assert topics.EVENTS == "persistent://chat/core/events"
    assert topics.dead_letters("chat-router") == "persistent://chat/core/chat-router-dead-letters"
    assert topics.gateway("gw-1") == "persistent://chat/gateways/gw-1"


def test_codes_say_whether_to_come_again() -> None:
    """3000-3499: reconnect. 3500-3999: do not. And every code is there once."""
    codes = [reason.code for reason in Disconnect]
    assert len(set(codes)) == len(codes)
    assert all(3000 <= code < 4000 for code in codes)
    assert ErrorCode.NOT_A_MEMBER.message == "not_a_member"

"""Fresh events on stored messages: nobody can tell how much of them was stored already."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_functions import overlay
from chat_functions.overlay import Messages, apply, at_most
from pulsar_data.events import ROOM_EVENT, RoomEvent
from pulsar_data.ids import new_key
from pulsar_data.model import UserId

ROOM, USERS = str(uuid.uuid4()), [str(uuid.uuid4()) for _ in range(3)]
KEY = new_key(1)
NOW = 10_000
KINDS = st.sampled_from(["message_sent", "message_edited", "message_deleted", "reaction_added", "reaction_removed"])
STEPS = st.lists(st.tuples(KINDS, st.integers(1, 3), st.sampled_from(USERS), st.sampled_from("👍🎉")), max_size=25)


def events(steps: Sequence[tuple[str, int, str, str]]) -> list[RoomEvent]:
    """As a room's log would have them: messages get the next seq, and only what was sent is changed."""
    sent, log = 0, []
    for offset, (kind, seq, actor, emoji) in enumerate(steps, start=1):
        sent += kind == "message_sent"
        fields: dict[str, Any] = {"seq": sent if kind == "message_sent" else min(seq, max(sent, 1))}
        fields |= {"text": f"at {offset}"} if kind in ("message_sent", "message_edited") else {}
        fields |= {"emoji": emoji} if kind.startswith("reaction") else {}
        common = {"room": ROOM, "epoch": 1, "offset": offset, "time": offset, "actor": actor, "key": KEY, "digest": ""}
        log.append(ROOM_EVENT.validate_python({"type": kind, **common, **fields}))
    return log


@given(STEPS, st.data())
def test_it_does_not_matter_how_much_is_stored(steps: Sequence[tuple[str, int, str, str]], data: st.DataObject) -> None:
    """The last events are laid over a state that has any number of them already, or all."""
    log = events(steps)
    whole: Messages = {}
    apply(whole, log, NOW)
    first = data.draw(st.integers(0, len(log)))
    stored: Messages = {}
    apply(stored, log[: data.draw(st.integers(first, len(log)))], NOW)
    apply(stored, log[first:], NOW)
    assert stored == whole
    assert all(not message.text and not message.reactions for message in whole.values() if message.deleted)


def test_what_has_expired_is_gone() -> None:
    """Though Redis still has the event."""
    (sent,) = events([("message_sent", 1, USERS[0], "👍")])
    for expires, there in ((NOW, 0), (NOW + 1, 1)):
        messages: Messages = {}
        apply(messages, [sent.model_copy(update={"expires": expires})], NOW)
        assert len(messages) == there


@given(STEPS, st.integers(0, 6))
def test_of_many_reactions_the_first_are_shown(steps: Sequence[tuple[str, int, str, str]], most: int) -> None:
    """In the order that all see them in; nothing else of the message changes."""
    messages: Messages = {}
    apply(messages, events(steps), NOW)
    for message in messages.values():
        shown = at_most(message, most)
        pairs = [(emoji, user) for emoji, users in message.reactions.items() for user in users]
        assert [(emoji, user) for emoji, users in shown.reactions.items() for user in users] == pairs[:most]
        assert shown.model_copy(update={"reactions": message.reactions}) == message


def test_many_reactions_are_ordered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each event: a message with thousands of them may have hundreds that are not stored yet."""
    many = {f"{number:05}": (UserId(USERS[0]),) for number in range(5000)}
    log = events([("message_sent", 1, USERS[0], "👍")])
    messages: Messages = {}
    apply(messages, log, NOW)
    messages[1] = messages[1].model_copy(update={"reactions": many})
    fresh = [
        ROOM_EVENT.validate_python(
            {"type": "reaction_added", "room": ROOM, "epoch": 1, "offset": offset, "time": offset, "actor": USERS[1],
             "key": KEY, "digest": "", "seq": 1, "emoji": f"x{offset}"}
        )
        for offset in range(2, 502)
    ]  # fmt: skip
    ordered = Mock(wraps=overlay.in_order)
    monkeypatch.setattr(overlay, "in_order", ordered)
    apply(messages, fresh, NOW)
    assert ordered.call_count == 1
    assert len(messages[1].reactions) == 5500

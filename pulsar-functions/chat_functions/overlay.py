"""Events on top of messages: what is committed but not stored yet, and the one order that reactions are shown in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chat_functions.messages import as_message, changed
from pulsar_data.events import (
    MessageDeleted,
    MessageEdited,
    MessageSent,
    ReactionAdded,
    ReactionRemoved,
    RoomEvent,
)
from pulsar_data.model import UserId
from pulsar_data.rooms import Message

Messages = dict[int, Message]
"""By seq."""


def apply(messages: Messages, events: Iterable[RoomEvent], now: int) -> None:
    """Bring messages to where they are after these events, whichever of them they show already.

    `events` come in the order of their offsets, without a hole, and end at the head; so the last word is theirs. What
    has expired at `now` (ms) is taken out.
    """
    reacted: dict[int, dict[str, set[UserId]]] = {}  # of those that change: ordered once, however many there are
    for event in events:
        if isinstance(event, MessageSent):
            messages[event.seq] = as_message(event)
            reacted.pop(event.seq, None)
            if event.expires is not None and event.expires <= now:
                del messages[event.seq]
        elif isinstance(event, MessageEdited | MessageDeleted | ReactionAdded | ReactionRemoved):
            message = messages.get(event.seq)
            if message is None or message.deleted:
                continue
            if isinstance(event, ReactionAdded | ReactionRemoved):
                if event.seq not in reacted:
                    reacted[event.seq] = {emoji: set(users) for emoji, users in message.reactions.items()}
                _react(reacted[event.seq], event)
            else:
                messages[event.seq] = changed(message, event)
    for seq, reactions in reacted.items():
        message = messages[seq]
        if not message.deleted:
            messages[seq] = message.model_copy(update={"reactions": in_order(reactions)})


def _react(reactions: dict[str, set[UserId]], event: ReactionAdded | ReactionRemoved) -> None:
    users = reactions.setdefault(event.emoji, set())
    if isinstance(event, ReactionAdded):
        users.add(event.actor)
    else:
        users.discard(event.actor)
    if not users:
        del reactions[event.emoji]


def tombstone(message: Message) -> Message:
    """What is left of a deleted message: who wrote it, and when."""
    gone: dict[str, Any] = {"text": "", "deleted": True, "mentions": (), "reactions": {}, "meta": None}
    return message.model_copy(update=gone)


def at_most(message: Message, reactions: int) -> Message:
    """With so many reactions, the first in their order."""
    if sum(map(len, message.reactions.values())) <= reactions:
        return message
    shown: dict[str, tuple[UserId, ...]] = {}
    for emoji, users in message.reactions.items():
        if kept := users[:reactions]:
            shown[emoji] = kept
        reactions -= len(kept)
    return message.model_copy(update={"reactions": shown})


def in_order(reactions: Mapping[str, Iterable[UserId]]) -> dict[str, tuple[UserId, ...]]:
    """Reactions in the order that every reader sees: by emoji, then by user."""
    return {emoji: tuple(sorted(users)) for emoji, users in sorted(reactions.items())}

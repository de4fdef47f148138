"""Messages: what may be asked of them, the events it becomes, and a message as its readers see it."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from chat_functions.numbering import Numbers
from chat_functions.settings import Settings
from pulsar_data.commands import EditMessage, SendMessage
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.events import MessageDeleted, MessageEdited, MessageSent, ReactionAdded, ReactionRemoved, RoomEvent
from pulsar_data.model import UserId
from pulsar_data.rooms import Message


def check(command: SendMessage | EditMessage) -> None:
    """Raises ChatError: 107 for an empty text."""
    if not command.text.strip():
        raise ChatError(ErrorCode.BAD_REQUEST, "the text is empty")


def excess(command: SendMessage | EditMessage, settings: Settings) -> int | None:
    """106 for a text that is too long, or too much meta."""
    too_long = len(command.text) > settings.text_limit
    if too_long or (command.meta is not None and len(to_json(command.meta)) > settings.meta_limit):
        return int(ErrorCode.LIMIT_EXCEEDED)
    return None


def sent(command: SendMessage, numbers: Numbers, digest: str) -> MessageSent:
    """The event of a numbered message."""
    return MessageSent(
        room=command.room, epoch=numbers.epoch, offset=numbers.offset, time=numbers.time, actor=command.actor,
        key=command.key, digest=digest, expires=numbers.expires or None, seq=numbers.seq, text=command.text,
        reply_to=command.reply_to, mentions=command.mentions, meta=command.meta,
    )  # fmt: skip


def as_message(event: MessageSent) -> Message:
    """The message as readers see it, before any edit."""
    return Message(
        room=event.room, seq=event.seq, offset=event.offset, key=event.key, sender=event.actor, text=event.text,
        time=event.time, reply_to=event.reply_to, mentions=event.mentions, meta=event.meta,
    )  # fmt: skip


def changed(message: Message, event: RoomEvent) -> Message:
    """The message after an event of its own, in the order of their offsets; any other event leaves it as it is."""
    if message.deleted:
        return message
    if isinstance(event, (ReactionAdded, ReactionRemoved)):
        return message.model_copy(update={"reactions": _reacted(message, event)})
    if isinstance(event, MessageDeleted):
        gone: dict[str, Any] = {"text": "", "mentions": (), "reactions": {}, "meta": None}
        return message.model_copy(update={"deleted": True, **gone})
    if isinstance(event, MessageEdited):
        given = {name: getattr(event, name) for name in ("mentions", "meta") if getattr(event, name) is not None}
        return message.model_copy(update={"text": event.text, "edited_at": event.time, **given})
    return message


def _reacted(message: Message, event: ReactionAdded | ReactionRemoved) -> dict[str, tuple[UserId, ...]]:
    others = tuple(user for user in message.reactions.get(event.emoji, ()) if user != event.actor)
    users = (*others, event.actor) if isinstance(event, ReactionAdded) else others
    rest = {emoji: by for emoji, by in message.reactions.items() if emoji != event.emoji}
    return {**rest, event.emoji: users} if users else rest

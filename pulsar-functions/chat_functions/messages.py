"""Messages: what `message.send` may hold, and the event it becomes."""

from __future__ import annotations

from pydantic_core import to_json

from chat_functions.numbering import Numbers
from chat_functions.settings import Settings
from pulsar_data.commands import SendMessage
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.events import MessageSent
from pulsar_data.model import Model
from pulsar_data.rooms import Message


def check_send(command: SendMessage, settings: Settings) -> None:
    """Raises ChatError: 107 for an empty text, 106 for one that is too long, or too much meta."""
    if not command.text.strip():
        raise ChatError(ErrorCode.BAD_REQUEST, "the text is empty")
    if len(command.text) > settings.text_limit:
        raise ChatError(ErrorCode.LIMIT_EXCEEDED, f"the text is longer than {settings.text_limit} characters")
    if command.meta is not None and len(to_json(command.meta)) > settings.meta_limit:
        raise ChatError(ErrorCode.LIMIT_EXCEEDED, f"meta is longer than {settings.meta_limit} bytes")


def sent(command: SendMessage, numbers: Numbers, digest: str) -> MessageSent:
    """The event of a numbered message."""
    return MessageSent(
        room=command.room, epoch=numbers.epoch, offset=numbers.offset, time=numbers.time, actor=command.actor,
        key=command.key, seq=numbers.seq, text=command.text, reply_to=command.reply_to,
        mentions=command.mentions, meta=command.meta, digest=digest,
    )  # fmt: skip


def as_message(event: MessageSent) -> Message:
    """The message as readers see it, before any edit."""
    return Message(
        room=event.room, seq=event.seq, offset=event.offset, key=event.key, sender=event.actor, text=event.text,
        time=event.time, reply_to=event.reply_to, mentions=event.mentions, meta=event.meta,
    )  # fmt: skip


class Sent(Model):
    """Answer to what takes a number."""

    seq: int | None = None
    offset: int
    time: int
    duplicate: bool

"""Results: the `data` of the answer to each RPC method."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from pulsar_data.model import Counter, Milliseconds, Model
from pulsar_data.rooms import Head, Member, Message, PublicProfile, RoomSummary


class Done(Model):
    """It is so; there is nothing to tell."""


class Changed(Model):
    """It happened as the event of this offset; `duplicate`: it had happened already, under the same key."""

    offset: Counter
    time: Milliseconds
    duplicate: bool


class Sent(Changed):
    """The message is stored, under this number."""

    seq: Counter


class MessagePage(Model):
    """Messages by rising seq. `more`: there are more in the direction that was asked for."""

    messages: Annotated[tuple[Message, ...], Field(strict=False)]
    head: Head
    more: bool


class Found(Model):
    """Messages, newest first. `more`: older ones match as well."""

    messages: Annotated[tuple[Message, ...], Field(strict=False)]
    more: bool


class RoomPage(Model):
    """Rooms by id. `more`: there are more behind the last one."""

    rooms: Annotated[tuple[RoomSummary, ...], Field(strict=False)]
    more: bool


class MemberPage(Model):
    """Members in the order of their ids (of Cassandra's `uuid`, which within one version is that of the text).

    `more`: there are more behind the last one.
    """

    members: Annotated[tuple[Member, ...], Field(strict=False)]
    more: bool


RESULTS: Final[dict[str, type[Model]]] = {
    "message.send": Sent,
    "message.edit": Changed,
    "message.delete": Changed,
    "message.list": MessagePage,
    "message.search": Found,
    "message.read": Done,
    "reaction.add": Changed,
    "reaction.remove": Changed,
    "room.create": RoomSummary,
    "room.list": RoomPage,
    "room.get": RoomSummary,
    "room.update": Changed,
    "room.join": Changed,
    "room.leave": Changed,
    "member.list": MemberPage,
    "member.add": Changed,
    "member.remove": Changed,
    "member.role": Changed,
    "member.mute": Changed,
    "member.ban": Changed,
    "user.get": PublicProfile,
    "user.find": PublicProfile,
}

"""The RPC methods: what a client may send as `rpc {method, data}`, and the command or query each one becomes.

The gateway knows no chat rule: it finds the method here, validates the data, and publishes what `build` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from pulsar_data import ids
from pulsar_data.commands import AddMember, Command, CreateRoom, Sender, SendMessage
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.model import Counter, Model, Room, RoomId, User, UserId, Uuid
from pulsar_data.queries import ListMessages, ListRooms, Query
from pulsar_data.rooms import Kind, Meta, Name, Role, Text, Topic, Users


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, from where, and until when somebody waits for the answer."""

    user: UserId
    gateway: str
    client: str
    request: int
    deadline: int

    @property
    def sender(self) -> Sender:
        """The return address of a command."""
        return Sender(gateway=self.gateway, client=self.client, request=self.request)


class SendParams(Model):
    """`message.send`."""

    room: Room
    key: Uuid
    text: Text
    reply_to: Counter | None = None
    mentions: Users = ()
    meta: Meta | None = None

    def build(self, caller: Caller) -> Command:
        """Keyed by room."""
        return SendMessage(
            room=self.room, actor=caller.user, key=self.key, sender=caller.sender,
            text=self.text, reply_to=self.reply_to, mentions=self.mentions, meta=self.meta,
        )  # fmt: skip


class CreateParams(Model):
    """`room.create`. A direct room has exactly one other member and needs no name."""

    key: Uuid
    kind: Kind
    name: Name | None = None
    topic: Topic | None = None
    members: Users = ()

    def build(self, caller: Caller) -> Command:
        """Keyed by the derived room id."""
        return CreateRoom(
            room=self._room(caller.user), actor=caller.user, key=self.key, sender=caller.sender,
            kind=self.kind, name=self.name, topic=self.topic, members=self.members,
        )  # fmt: skip

    def _room(self, creator: UserId) -> RoomId:
        if self.kind != "direct":
            return ids.created_room(creator, self.key)
        others = set(self.members) - {creator}
        if len(others) != 1:
            raise ChatError(ErrorCode.BAD_REQUEST, "a direct room has exactly one other member")
        return ids.direct_room(creator, others.pop())


class AddParams(Model):
    """`member.add`."""

    room: Room
    key: Uuid
    user: User
    role: Role = "member"

    def build(self, caller: Caller) -> Command:
        """Keyed by room."""
        return AddMember(
            room=self.room, actor=caller.user, key=self.key, sender=caller.sender, user=self.user, role=self.role
        )


class RoomsParams(Model):
    """`room.list`."""

    after: Room | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 200

    def build(self, caller: Caller) -> Query:
        """Keyed by user."""
        return ListRooms(**_query(caller), after=self.after, limit=self.limit)


class MessagesParams(Model):
    """`message.list`."""

    room: Room
    before: Counter | None = None
    after: Counter | None = None
    around: Counter | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    def build(self, caller: Caller) -> Query:
        """Keyed by user."""
        return ListMessages(
            **_query(caller), room=self.room,
            before=self.before, after=self.after, around=self.around, limit=self.limit,
        )  # fmt: skip


def _query(caller: Caller) -> dict[str, Any]:
    return {"gateway": caller.gateway, "request": caller.request, "user": caller.user, "deadline": caller.deadline}


Params = SendParams | CreateParams | AddParams | RoomsParams | MessagesParams
METHODS: dict[str, type[Params]] = {
    "message.send": SendParams,
    "message.list": MessagesParams,
    "room.create": CreateParams,
    "room.list": RoomsParams,
    "member.add": AddParams,
}
KEY_AHEAD: Final = 5 * 60 * 1000
"""Milliseconds: how far ahead of our clock the time in an idempotency key may be."""


def build(method: str, data: object, caller: Caller, now: int) -> Command | Query:
    """The command or query of a client's call. Raises ChatError 104 or 107; `now` in ms judges the key's time."""
    params = METHODS.get(method)
    if params is None:
        raise ChatError(ErrorCode.METHOD_NOT_FOUND, f"there is no method {method[:64]!r}")
    try:
        parsed = params.model_validate({} if data is None else data)
        _check_key(getattr(parsed, "key", None), now)
        return parsed.build(caller)
    except ValidationError as error:
        raise ChatError(ErrorCode.BAD_REQUEST, f"{error.error_count()} invalid fields") from error


def _check_key(key: str | None, now: int) -> None:
    if key is None:
        return
    try:
        ahead = ids.key_time(key) - now
    except ValueError as error:
        raise ChatError(ErrorCode.BAD_REQUEST, "key is not a UUIDv7") from error
    if ahead > KEY_AHEAD:
        raise ChatError(ErrorCode.BAD_REQUEST, "key lies more than five minutes ahead")

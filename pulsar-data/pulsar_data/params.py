"""Parameters of the RPC methods: the `data` of `rpc {method, data}`, and the command or query each becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from pulsar_data import commands, ids, queries
from pulsar_data.commands import Command, CreateRoom, MarkRead, Sender
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.model import Counter, Model, Room, RoomId, User, UserId, Uuid
from pulsar_data.queries import Query
from pulsar_data.rooms import Days, Emoji, Kind, MuteEnd, Name, NewMeta, Reach, Role, Text, Topic, Users


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


class _Change(Model):
    """Becomes the command that has the same fields."""

    becomes: ClassVar[Any]
    room: Room
    key: Uuid

    def build(self, caller: Caller) -> Command:
        """Keyed by room. Raises pydantic.ValidationError."""
        command: Command = self.becomes(**dict(self), actor=caller.user, sender=caller.sender)
        return command


class _Read(Model):
    """Becomes the query that has the same fields."""

    becomes: ClassVar[Any]

    def build(self, caller: Caller) -> Query:
        """Keyed by user. Raises pydantic.ValidationError."""
        query: Query = self.becomes(**dict(self), **_address(caller))
        return query


def _address(caller: Caller) -> dict[str, Any]:
    return {"gateway": caller.gateway, "request": caller.request, "user": caller.user, "deadline": caller.deadline}


class SendParams(_Change):
    """`message.send`."""

    becomes = commands.SendMessage
    text: Text
    reply_to: Counter | None = None
    mentions: Users = ()
    meta: NewMeta | None = None


class EditParams(_Change):
    """`message.edit`. Mentions and meta stay as they are where they are left out."""

    becomes = commands.EditMessage
    seq: Counter
    text: Text
    mentions: Users | None = None
    meta: NewMeta | None = None


class DeleteParams(_Change):
    """`message.delete`."""

    becomes = commands.DeleteMessage
    seq: Counter


class ReactParams(_Change):
    """`reaction.add`."""

    becomes: ClassVar[Any] = commands.AddReaction
    seq: Counter
    emoji: Emoji


class UnreactParams(ReactParams):
    """`reaction.remove`."""

    becomes = commands.RemoveReaction


class ReadParams(Model):
    """`message.read`. It needs no key: a mark never goes back."""

    room: Room
    seq: Counter
    key: Uuid | None = None

    def build(self, caller: Caller) -> Command:
        """Keyed by room."""
        return MarkRead(room=self.room, actor=caller.user, key=self.key, sender=caller.sender, seq=self.seq)


class CreateParams(Model):
    """`room.create`. A direct room has exactly one other member and needs no name."""

    key: Uuid
    kind: Kind
    name: Name | None = None
    topic: Topic | None = None
    members: Users = ()
    history: Reach | None = None

    def build(self, caller: Caller) -> Command:
        """Keyed by the derived room id."""
        return CreateRoom(
            room=self._room(caller.user), actor=caller.user, key=self.key, sender=caller.sender,
            kind=self.kind, name=self.name, topic=self.topic, members=self.members, history=self.history,
        )  # fmt: skip

    def _room(self, creator: UserId) -> RoomId:
        if self.kind != "direct":
            return ids.created_room(creator, self.key)
        others = set(self.members) - {creator}
        if len(others) != 1:
            raise ChatError(ErrorCode.BAD_REQUEST, "a direct room has exactly one other member")
        return ids.direct_room(creator, others.pop())


class UpdateParams(_Change):
    """`room.update`: what is left out stays. An empty topic is none; 0 `retention_days` are for ever."""

    becomes = commands.UpdateRoom
    name: Name | None = None
    topic: Topic | None = None
    presence: bool | None = None
    retention_days: Days | None = None
    history: Reach | None = None


class JoinParams(_Change):
    """`room.join`."""

    becomes = commands.JoinRoom


class LeaveParams(_Change):
    """`room.leave`."""

    becomes = commands.LeaveRoom


class AddParams(_Change):
    """`member.add`."""

    becomes = commands.AddMember
    user: User
    role: Role = "member"


class RemoveParams(_Change):
    """`member.remove`."""

    becomes = commands.RemoveMember
    user: User


class RoleParams(_Change):
    """`member.role`."""

    becomes = commands.ChangeRole
    user: User
    role: Role


class MuteParams(_Change):
    """`member.mute`, until a time in ms; 0 ends it."""

    becomes = commands.MuteMember
    user: User
    until: MuteEnd


class BanParams(_Change):
    """`member.ban`; `banned` false ends it."""

    becomes = commands.BanMember
    user: User
    banned: bool = True


class RoomsParams(_Read):
    """`room.list`."""

    becomes = queries.ListRooms
    after: Room | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 200


class RoomParams(_Read):
    """`room.get`."""

    becomes = queries.GetRoom
    room: Room


class MessagesParams(_Read):
    """`message.list`."""

    becomes = queries.ListMessages
    room: Room
    before: Counter | None = None
    after: Counter | None = None
    around: Counter | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class SearchParams(Model):
    """`message.search`."""

    room: Room
    query: Annotated[str, Field(min_length=1, max_length=200)]
    before: Counter | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20

    def build(self, caller: Caller) -> Query:
        """Keyed by user."""
        return queries.SearchMessages(
            room=self.room, text=self.query, before=self.before, limit=self.limit, **_address(caller)
        )


class MembersParams(_Read):
    """`member.list`."""

    becomes = queries.ListMembers
    room: Room
    after: User | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class UserParams(Model):
    """`user.get`."""

    user: User

    def build(self, caller: Caller) -> Query:
        """Keyed by user."""
        return queries.GetUser(target=self.user, **_address(caller))


class FindParams(_Read):
    """`user.find`."""

    becomes = queries.FindUser
    username: Annotated[str, Field(min_length=1, max_length=64)]


Params = (
    SendParams | EditParams | DeleteParams | ReactParams | ReadParams
    | CreateParams | UpdateParams | JoinParams | LeaveParams
    | AddParams | RemoveParams | RoleParams | MuteParams | BanParams
    | RoomsParams | RoomParams | MessagesParams | SearchParams | MembersParams | UserParams | FindParams
)  # fmt: skip

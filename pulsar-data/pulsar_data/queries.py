"""Queries: every read. Topic `queries`, keyed by user; archive answers on the asking gateway's topic."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from pulsar_data.model import Counter, Milliseconds, Model, Room, User, Uuid
from pulsar_data.tokens import ExternalUser


class Position(Model):
    """How far a client is in a room. `epoch` as it got it; an empty or foreign one is simply never recovered."""

    epoch: str
    offset: Counter


class _Query(Model):
    """`deadline`: after it nobody waits for the answer."""

    gateway: str
    request: Counter
    user: User
    deadline: Milliseconds


class OpenSession(_Query):
    """A socket connects: check the token's session, note the gateway, read snapshot and missed events.

    `token` is this opening's interest token: rising within the gateway's boot. `positions`: rooms the client wants to
    recover. `rooms` false: no automatic subscriptions. `external`: see CheckSession. Answer: SessionOpened.
    """

    type: Literal["open_session"] = "open_session"
    session: Uuid
    version: int
    token: Counter
    rooms: bool = True
    positions: dict[Room, Position] = Field(default_factory=dict)
    external: ExternalUser | None = None


class CheckSession(_Query):
    """Does a token of this session and version still count? Answer: {}, or error 101.

    `external`: the token is an external issuer's: no session of ours; `version` is when it was issued (ms), and its
    user is made if this is its first token.
    """

    type: Literal["check_session"] = "check_session"
    session: Uuid
    version: int
    external: ExternalUser | None = None


class OpenRoom(_Query):
    """A client-side `subscribe`. Answer: RoomOpened."""

    type: Literal["open_room"] = "open_room"
    room: Room
    token: Counter
    position: Position | None = None


class ReadPresence(_Query):
    """Who of a room's members is connected. Answer: {presence: {client: {user, client}}}, {} where nobody is.

    Error 108 for a room that does not show presence, or that is too large to.
    """

    type: Literal["read_presence"] = "read_presence"
    room: Room


class ListRooms(_Query):
    """Answer: {rooms: [RoomSummary], more}, by room id, behind `after`."""

    type: Literal["list_rooms"] = "list_rooms"
    after: Room | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 200


class ListMessages(_Query):
    """Answer: {messages: [Message] by rising seq, head, more}. One of before, after, around, or none: the newest."""

    type: Literal["list_messages"] = "list_messages"
    room: Room
    before: Counter | None = None
    after: Counter | None = None
    around: Counter | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    @model_validator(mode="after")
    def _one_direction(self) -> ListMessages:
        if sum(value is not None for value in (self.before, self.after, self.around)) > 1:
            raise ValueError("give one of before, after, around")
        return self


class SearchMessages(_Query):
    """Answer: {messages: [Message], more}: those that hold all words, newest first, of lower seq than `before`."""

    type: Literal["search_messages"] = "search_messages"
    room: Room
    text: Annotated[str, Field(min_length=1, max_length=200)]
    before: Counter | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class GetRoom(_Query):
    """Answer: RoomSummary."""

    type: Literal["get_room"] = "get_room"
    room: Room


class ListMembers(_Query):
    """Answer: {members: [Member] by user id behind `after`, more}."""

    type: Literal["list_members"] = "list_members"
    room: Room
    after: User | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class GetUser(_Query):
    """Answer: PublicProfile of `target`."""

    type: Literal["get_user"] = "get_user"
    target: User


class FindUser(_Query):
    """Answer: PublicProfile of the one who has this name now."""

    type: Literal["find_user"] = "find_user"
    username: Annotated[str, Field(min_length=1, max_length=64)]


class ReadHistory(_Query):
    """A client's `history` of a room. `since` excluded; `limit` 0: only the position. Answer: HistoryRead.

    Without `since`: from the oldest on, or from the newest back with `reverse`. Error 112 for a foreign epoch.
    """

    type: Literal["read_history"] = "read_history"
    room: Room
    limit: Annotated[int, Field(ge=0, le=1000)] = 0
    since: Position | None = None
    reverse: bool = False


Query = (
    OpenSession | CheckSession | OpenRoom | ReadPresence | ListRooms | GetRoom | ListMembers
    | ListMessages | SearchMessages | ReadHistory
    | GetUser | FindUser
)  # fmt: skip
QUERY: TypeAdapter[Query] = TypeAdapter(Annotated[Query, Field(discriminator="type")])
"""QUERY.validate_json(bytes): the only way in. Raises pydantic.ValidationError."""

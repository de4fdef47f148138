"""Who is here: connections by user and by room, how far each room has come, and the fan-out.

Every room is delivered to every member here in one order without holes. `Room.offset` is the last number pushed: a
lower one is a repeat and dropped, the next one is pushed. Anything else means that something is missing: it is held
until what lies between has been read from Redis (`catch_up`), and if that is not there, every member must come back and
recover (3010). Numbers are dense over all epochs, so a later epoch that goes on where we are misses nothing.
Nothing here waits or knows Pulsar, Redis or WebSockets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pulsar_data.deliveries import RoomEntered, RoomLeft
from pulsar_data.errors import Disconnect
from pulsar_data.model import RoomId, UserId
from pulsar_data.tokens import SessionsRevoked
from socket_gateway.backlog import Backlog, Kept
from socket_gateway.metrics import Delays

PATIENCE: Final = 12
"""How often a hole may be asked for while Redis does not have the room: about three seconds."""
HELD: Final = 1000
"""Publications of one room that wait for a missing one; one more sends the room's members back."""


class Member(Protocol):
    """A connection as the hub sees it."""

    @property
    def user(self) -> UserId:
        """Whose."""

    @property
    def sessions(self) -> Collection[str]:
        """Of which sign-in; two, while a token of another one is being checked."""

    def push(self, frame: bytes) -> None:
        """Write a ready-made frame. Never blocks, never raises."""

    def hint(self, frame: bytes) -> None:
        """As push, but dropped if the client is behind with its reading."""

    def close(self, reason: Disconnect) -> None:
        """End it; the member leaves the hub in the course of this call."""

    def enter(self, entered: RoomEntered) -> bool:
        """The user has entered a room: tell the client and join, if this connection follows all its rooms."""

    def leave(self, left: RoomLeft) -> None:
        """The user is no longer in a room: tell the client and leave, if this connection is in it."""


class Idle(Protocol):
    """Told when the last member of a room, or the last connection of a user, is gone from this gateway."""

    def room_idle(self, room: RoomId) -> None:
        """Nobody here needs the room's publications."""

    def user_idle(self, user: UserId) -> None:
        """The user is not here."""

    def room_behind(self, room: RoomId) -> None:
        """A publication is missing: `catch_up` must be called for the room."""


@dataclass(slots=True)
class Room:
    """A room with members here, and the epoch and offset last pushed.

    `ahead`: members that know more than was pushed here yet, and how far they are. `held`: publications behind a hole.
    `asked`: how often Redis did not know of it. `presence`: who comes and goes is shown to the members.
    """

    id: RoomId
    epoch: int
    offset: int
    members: dict[Member, None] = field(default_factory=dict)
    ahead: dict[Member, int] = field(default_factory=dict)
    held: list[Kept] = field(default_factory=list)
    asked: int = 0
    presence: bool = False


class Hub:
    """See the module. All methods belong to the event loop's thread."""

    def __init__(self, backlog: Backlog, idle: Idle) -> None:
        self._backlog = backlog
        self._idle = idle
        self._users: dict[UserId, dict[Member, None]] = {}
        self._rooms: dict[RoomId, Room] = {}
        self._shown: list[Room] = []
        self.delays = Delays()
        self.holes = self.sent_back = 0
        """Rooms so far in which something was missing, and those whose members had to come back."""

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))

    def members(self) -> list[Member]:
        """Everybody who has shown a valid token."""
        return [member for members in self._users.values() for member in members]

    def rooms(self) -> dict[RoomId, Room]:
        """Rooms with members here; not to be changed."""
        return self._rooms

    @property
    def users(self) -> int:
        """How many users have a connection here."""
        return len(self._users)

    def has_user(self, user: UserId) -> bool:
        """Whether a connection of the user is here, opened or about to."""
        return user in self._users

    def connections(self, user: UserId) -> int:
        """How many of the user's are here, opened or about to."""
        return len(self._users.get(user, ()))

    def add(self, member: Member) -> None:
        """A connection has shown a valid token: from now on a revocation finds it."""
        self._users.setdefault(member.user, {})[member] = None

    def remove(self, member: Member, rooms: Collection[RoomId]) -> None:
        """A connection is gone."""
        for room in rooms:
            self.leave(member, room)
        connections = self._users.get(member.user)
        if connections is not None:
            connections.pop(member, None)
            if not connections:
                del self._users[member.user]
                self._idle.user_idle(member.user)

    def shows_presence(self, rooms: Collection[RoomId]) -> list[RoomId]:
        """Those of the rooms that are here and show who is there."""
        return [room for room in rooms if (here := self._rooms.get(room)) is not None and here.presence]

    def shown_since(self) -> set[UserId]:
        """Users here in whose rooms that has changed since the last call."""
        rooms, self._shown = self._shown, []
        return {member.user for here in rooms for member in here.members}

    def join(
        self, member: Member, room: RoomId, epoch: int, offset: int, *, presence: bool = False
    ) -> list[bytes] | None:
        """A member is at this position of a room. Returns the frames that it must get at once, in order.

        None: what lies between its position and ours is not whole, or of an earlier epoch; it must come back (3010).
        `presence`: whether the room shows it at that position.
        """
        missed = self._missed(room, epoch, offset)
        if missed is None:
            return None
        last = offset + len(missed)
        here = self._rooms.get(room)
        if here is not None and here.epoch < epoch and last < here.offset:
            self._fail(here)  # its rebuild knows less than was pushed here
            here = None
        if here is None:
            here = self._rooms[room] = Room(room, epoch, last)
        if here.epoch > epoch or here.offset > last:
            return None
        if here.offset == last:
            here.epoch = epoch
            here.presence = next((kept.presence for kept in reversed(missed) if kept.presence is not None), presence)
        here.members[member] = None
        if last > here.offset:
            here.ahead[member] = last
        return [kept.frame for kept in missed]

    def _missed(self, room: RoomId, epoch: int, offset: int) -> list[Kept] | None:
        missed: list[Kept] = []
        # What was held comes before what was then caught up with: order by number, not by arrival.
        for kept in sorted(self._backlog.since(room, epoch, offset), key=lambda kept: kept.offset):
            expected = offset + len(missed) + 1
            if kept.offset > expected or (kept.epoch != epoch and kept.offset < expected):
                return None
            if kept.offset == expected:  # a lower one was delivered twice
                missed.append(kept)
        return missed

    def leave(self, member: Member, room: RoomId) -> None:
        """A member is no longer in a room."""
        here = self._rooms.get(room)
        if here is None:
            return
        here.members.pop(member, None)
        here.ahead.pop(member, None)
        if not here.members:
            del self._rooms[room]
            self._idle.room_idle(room)

    def publish(self, room: RoomId, kept: Kept) -> None:
        """A publication has come for a room."""
        self._keep(room, kept)
        here = self._rooms.get(room)
        if here is None:
            self._idle.room_idle(room)
        elif not self._pass(here, kept):
            self._hold(room, here, kept)

    def catch_up(self, room: RoomId, epoch: int, offset: int, missed: Sequence[Kept]) -> bool:
        """What Redis has of a room: its visible head, and the publications up to it that were missing here, in order.

        `epoch` 0: Redis does not have the room just now; it is being rebuilt, so a hole may wait a little longer.
        Returns whether the room is as far as that head now. If something was held and cannot go on, members go.
        """
        for kept in missed:
            self._keep(room, kept)  # an opening under way may have been read before it
        here = self._rooms.get(room)
        if here is None:
            return True
        if not epoch and here.held and here.asked < PATIENCE:
            here.asked += 1
            return False
        held, here.held, here.asked = here.held, [], 0
        whole = all(self._pass(here, kept) for kept in (*missed, *held))
        if not whole or (epoch > here.epoch and offset < here.offset):
            self._fail(here)
        elif offset == here.offset:
            here.epoch = max(here.epoch, epoch)
        return here.offset >= offset

    def _keep(self, room: RoomId, kept: Kept) -> None:
        self._backlog.keep(room, kept)
        if kept.out is not None:
            self._backlog.keep_move(_left(room, kept.out, kept))

    def _pass(self, here: Room, kept: Kept) -> bool:
        """Push the next one, drop a repeat or what is void; False if something before it is missing."""
        if kept.epoch < here.epoch:
            return True
        if kept.offset == here.offset + 1:
            here.epoch, here.offset = kept.epoch, kept.offset
            if kept.presence is not None and kept.presence != here.presence:
                here.presence = kept.presence
                self._shown.append(here)
            self._fan_out(here, kept)
            if kept.out is not None:
                self._put_out(here, kept.out, kept)
        elif kept.epoch > here.epoch and kept.offset <= here.offset:
            self._fail(here)  # its rebuild knew less than was pushed here
        return kept.offset <= here.offset

    def _hold(self, room: RoomId, here: Room, kept: Kept) -> None:
        here.held.append(kept)
        if len(here.held) > HELD:
            self._fail(here)
        elif len(here.held) == 1:
            self.holes += 1
            self._idle.room_behind(room)

    def _fan_out(self, here: Room, kept: Kept) -> None:
        members = list(self._behind(here, kept.offset)) if here.ahead else list(here.members)
        for member in members:
            member.push(kept.frame)
        self.delays.note(kept.time, len(members))

    def _put_out(self, here: Room, user: UserId, kept: Kept) -> None:
        """Who is no member hears no more, even if the `RoomLeft` that is on its way to its gateways gets lost."""
        left = _left(here.id, user, kept)
        for member in [member for member in here.members if member.user == user]:
            member.leave(left)

    def _behind(self, here: Room, offset: int) -> Iterator[Member]:
        for member in list(here.members):
            if here.ahead.get(member, 0) < offset:
                here.ahead.pop(member, None)
                yield member

    def hint(self, room: RoomId, frame: bytes, *, but: UserId | None = None) -> None:
        """Something without a number for all members here, but those of one user: best effort, in no order."""
        here = self._rooms.get(room)
        for member in () if here is None else list(here.members):
            if member.user != but:
                member.hint(frame)

    def notify(self, room: RoomId, frame: bytes) -> None:
        """Something without a number for all members here."""
        here = self._rooms.get(room)
        for member in () if here is None else list(here.members):
            member.push(frame)

    def tell(self, user: UserId, frame: bytes) -> None:
        """Something for all devices of a user that are here."""
        for member in list(self._users.get(user, ())):
            member.push(frame)

    def leave_room(self, left: RoomLeft) -> None:
        """A user has left a room."""
        self._backlog.keep_move(left)
        for member in list(self._users.get(left.user, ())):
            member.leave(left)

    def enter(self, entered: RoomEntered) -> None:
        """A user has entered a room."""
        self._backlog.keep_move(entered)
        for member in list(self._users.get(entered.user, ())):
            member.enter(entered)
        if entered.room not in self._rooms:
            self._idle.room_idle(entered.room)
        if entered.user not in self._users:
            self._idle.user_idle(entered.user)

    def revoke(self, revoked: SessionsRevoked) -> int:
        """Close the sockets of revoked sessions; returns how many."""
        mine = self._users.get(revoked.user, ())
        doomed = [member for member in mine if any(_revokes(revoked, session) for session in member.sessions)]
        for member in doomed:
            member.close(Disconnect.FORCED)
        return len(doomed)

    def fail(self, room: RoomId) -> None:
        """The room's members may have missed something: they must come back."""
        here = self._rooms.get(room)
        if here is not None:
            self._fail(here)

    def _fail(self, here: Room) -> None:
        self.sent_back += bool(here.members)
        for member in list(here.members):
            member.close(Disconnect.INSUFFICIENT_STATE)


def _left(room: RoomId, user: UserId, kept: Kept) -> RoomLeft:
    return RoomLeft(user=user, room=room, epoch=kept.epoch, offset=kept.offset)


def _revokes(revoked: SessionsRevoked, session: str) -> bool:
    if revoked.session is not None:
        return session == revoked.session
    return session != revoked.except_session

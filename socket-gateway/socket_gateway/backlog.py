"""What arrived while openings were on their way: archive reads a room, and only later does the socket join it here.

An opening begins before its question is sent and ends when its answer has been applied, so whatever archive cannot
have seen yet lies in here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pulsar_data.deliveries import RoomEntered, RoomLeft
from pulsar_data.model import RoomId, UserId

Move = RoomEntered | RoomLeft


@dataclass(frozen=True, slots=True)
class Kept:
    """A publication: its number, and its ready-made frame. `presence`: whether the room shows it from here on.

    `time`: when it happened, ms. `out`: who is no member any more.
    """

    epoch: int
    offset: int
    frame: bytes
    presence: bool | None = None
    time: int = 0
    out: UserId | None = None


@dataclass(frozen=True, slots=True)
class _Opening:
    since: int
    fail: Callable[[], None]


class Backlog:
    """Kept items by room and by user, as long as the oldest pending opening may need them.

    At most `limit` items: one more fails the oldest opening (its client connects again), and frees what it held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._position = 0
        self._token = 0
        self._openings: dict[int, _Opening] = {}
        self._log: deque[tuple[int, RoomId | UserId]] = deque()
        self._rooms: dict[RoomId | UserId, deque[Kept]] = {}
        self._moves: dict[RoomId | UserId, deque[Move]] = {}

    @property
    def token(self) -> int:
        """The highest interest token issued in this boot."""
        return self._token

    @property
    def openings(self) -> int:
        """How many are pending."""
        return len(self._openings)

    @property
    def oldest(self) -> int | None:
        """The token of the oldest pending opening."""
        return next(iter(self._openings), None)

    def begin(self, fail: Callable[[], None]) -> int:
        """An opening starts; returns its interest token. `fail` is called if it cannot be kept whole."""
        self._token += 1
        self._openings[self._token] = _Opening(self._position, fail)
        return self._token

    def end(self, token: int) -> None:
        """An opening is over, whatever came of it."""
        if self._openings.pop(token, None) is not None:
            self._trim()

    def fail_all(self) -> None:
        """What pending openings will read cannot be trusted."""
        for token in list(self._openings):
            self._give_up(token)

    def _give_up(self, token: int) -> None:
        if (opening := self._openings.get(token)) is not None:  # another's failure may have ended it
            self.end(token)
            opening.fail()

    def keep(self, room: RoomId, kept: Kept) -> None:
        """A publication has come."""
        if self._openings:
            self._rooms.setdefault(room, deque()).append(kept)
            self._note(room)

    def keep_move(self, move: Move) -> None:
        """A user has entered or left a room."""
        if self._openings:
            self._moves.setdefault(move.user, deque()).append(move)
            self._note(move.user)

    def since(self, room: RoomId, epoch: int, offset: int) -> list[Kept]:
        """Publications of a room behind a position, in the order they came; of the same or a later epoch."""
        return [k for k in self._rooms.get(room, ()) if k.epoch > epoch or (k.epoch == epoch and k.offset > offset)]

    def moves(self, user: UserId) -> list[Move]:
        """Rooms that a user has entered or left meanwhile, in order."""
        return list(self._moves.get(user, ()))

    def _note(self, key: RoomId | UserId) -> None:
        self._position += 1
        self._log.append((self._position, key))
        while len(self._log) > self._limit and self._openings:
            self._give_up(next(iter(self._openings)))

    def _trim(self) -> None:
        oldest = next(iter(self._openings.values()), None)
        keep_after = self._position if oldest is None else oldest.since
        while self._log and self._log[0][0] <= keep_after:
            self._drop(self._log.popleft()[1])

    def _drop(self, key: RoomId | UserId) -> None:
        for kept in (self._rooms, self._moves):
            items = kept.get(key)
            if items is not None:
                items.popleft()
                if not items:
                    del kept[key]

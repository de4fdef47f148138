"""The hub with its backlog and interest: in whatever order things arrive, nobody loses or doubles an event."""

from __future__ import annotations

import uuid
from collections import deque

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pulsar_data.deliveries import RoomEntered, RoomLeft
from pulsar_data.errors import Disconnect
from pulsar_data.model import RoomId, UserId
from pulsar_data.rooms import Head, RoomSummary
from pulsar_data.tokens import SessionsRevoked
from socket_gateway.backlog import Backlog, Kept
from socket_gateway.hub import PATIENCE
from socket_gateway.interest import Interest, RedisHead

ROOM = RoomId(str(uuid.uuid4()))


class Client:
    """A connection without a socket: remembers what was written to it."""

    def __init__(self, interest: Interest, user: UserId | None = None) -> None:
        self.user = user or UserId(str(uuid.uuid4()))
        self.session = str(uuid.uuid4())
        self.got: list[int] = []
        self.start: int | None = None
        self.token = 0
        self.closed: Disconnect | None = None
        self._interest = interest

    def push(self, frame: bytes) -> None:
        """Frames hold nothing but the offset here."""
        self.got.append(int(frame))

    @property
    def sessions(self) -> tuple[str, ...]:
        """One."""
        return (self.session,)

    def hint(self, frame: bytes) -> None:
        """Is not behind."""
        self.push(frame)

    def leave(self, left: RoomLeft) -> None:
        """Leaves."""
        self._interest.hub.leave(self, left.room)

    def close(self, reason: Disconnect) -> None:
        """As a real connection does."""
        self.closed = reason
        self._interest.hub.remove(self, [ROOM])

    def enter(self, entered: RoomEntered) -> bool:
        """Joins."""
        return self.join(entered.epoch, entered.offset)

    def join(self, epoch: int, offset: int) -> bool:
        """At an epoch and offset, and takes what it missed."""
        frames = self._interest.hub.join(self, ROOM, epoch, offset)
        if frames is None:
            self.close(Disconnect.INSUFFICIENT_STATE)
            return False
        self.start = offset
        for frame in frames:
            self.push(frame)
        return True


def publication(offset: int, epoch: int = 1) -> Kept:
    """A publication whose frame is its offset."""
    return Kept(epoch, offset, str(offset).encode())


def fresh(limit: int = 10_000) -> tuple[Backlog, Interest]:
    """An empty gateway."""
    backlog = Backlog(limit)
    return backlog, Interest(backlog)


class Openings(RuleBasedStateMachine):
    """A router, an archive, a Redis and a gateway's topic that deliver in any order they could; clients come and go.

    Publications are lost and doubled, Redis forgets everything and the room is rebuilt under a later epoch: nobody is
    sent away for it, and in the end everybody has everything. Only an answer of an earlier epoch is no good.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backlog, self.interest = fresh()
        self.epoch = 1
        self.head = 1
        self.noted: int | None = None
        """The gateway's interest as Redis has it: a token."""
        self.forgot = False
        """Redis lost its data, and the gateway does not know yet."""
        self.topic: deque[Kept] = deque()
        self.begun: list[Client] = []
        self.read: list[tuple[Client, int, int]] = []
        self.open: list[Client] = []

    @rule()
    def begin(self) -> None:
        """A client connects."""
        client = Client(self.interest)
        client.token = self.backlog.begin(lambda: self._fail(client))
        self.interest.hub.add(client)
        self.begun.append(client)

    def _fail(self, client: Client) -> None:
        """Its opening must be tried again."""
        self.begun = [other for other in self.begun if other is not client]
        self.read = [answer for answer in self.read if answer[0] is not client]
        self.interest.hub.remove(client, [])

    @precondition(lambda self: self.begun)
    @rule(pick=st.integers(min_value=0))
    def archive_reads(self, pick: int) -> None:
        """Archive notes interest, then reads the visible head."""
        client = self.begun.pop(pick % len(self.begun))
        self.noted = max(self.noted or 0, client.token)
        self.read.append((client, self.epoch, self.head))

    @precondition(lambda self: self.read)
    @rule(pick=st.integers(min_value=0))
    def answer(self, pick: int) -> None:
        """Archive's answer arrives, before or after publications of the same time."""
        client, epoch, offset = self.read.pop(pick % len(self.read))
        if client.join(epoch, offset):
            self.open.append(client)
        else:
            assert epoch < self.epoch or self.head > offset, "sent away without a reason"
        self.backlog.end(client.token)

    @rule()
    def commit(self) -> None:
        """The router commits an event and tells the gateway, if that is interested."""
        self.head += 1
        if self.noted is not None:
            self.topic.append(publication(self.head, self.epoch))

    @precondition(lambda self: self.topic)
    @rule(twice=st.booleans())
    def deliver(self, twice: bool) -> None:
        """The next publication arrives; sometimes the broker delivers it again."""
        kept = self.topic.popleft()
        for _ in range(1 + twice):
            self.interest.hub.publish(ROOM, kept)

    @precondition(lambda self: self.topic)
    @rule()
    def lose(self) -> None:
        """A publication vanishes."""
        self.topic.popleft()

    @rule()
    def forget(self) -> None:
        """Redis loses everything; the room is rebuilt under a later epoch, numbers dense, with its recent events."""
        self.noted, self.forgot = None, True
        self.epoch += 1

    @precondition(lambda self: self.open)
    @rule(pick=st.integers(min_value=0))
    def leave(self, pick: int) -> None:
        """A client goes away."""
        client = self.open.pop(pick % len(self.open))
        self.interest.hub.remove(client, [ROOM])

    @rule()
    def beat(self) -> None:
        """The registry sees a loss, writes what is wanted, removes what is not needed."""
        if self.forgot:
            self.forgot = False
            self.interest.lost()
        if self.interest.wanted():
            self.sweep()
        for _, token in self.interest.unneeded()[0]:
            if self.noted is not None and self.noted <= token:
                self.noted = None

    @rule()
    def sweep(self) -> None:
        """The registry asserts interest in the room and catches up."""
        here = self.interest.hub.rooms().get(ROOM)
        if here is not None and not self.forgot:
            self.noted = self.interest.token if self.noted is None else self.noted
            missed = [publication(offset, self.epoch) for offset in range(here.offset + 1, self.head + 1)]
            self.interest.compare([RedisHead(ROOM, self.epoch, self.head, missed)])

    @invariant()
    def nobody_has_a_hole_or_a_double(self) -> None:
        """What a client got follows its position without a gap."""
        for client in self.open:
            assert client.start is not None
            assert client.got == list(range(client.start + 1, client.start + 1 + len(client.got)))

    @invariant()
    def nobody_is_sent_away(self) -> None:
        """Whatever was lost is caught up with."""
        assert all(client.closed is None for client in self.open)

    def teardown(self) -> None:
        """In the end everybody has everything."""
        while self.topic:
            self.deliver(twice=False)
        self.beat()
        self.sweep()
        for client in self.open:
            assert client.start is not None
            assert client.start + len(client.got) == self.head


Openings.TestCase.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestOpenings = Openings.TestCase


def test_a_hole_is_filled_from_redis() -> None:
    """A publication that is not the next one waits until what is missing has been read."""
    _, interest = fresh()
    client = Client(interest)
    assert client.join(1, 5)
    interest.hub.publish(ROOM, publication(7))
    interest.hub.publish(ROOM, publication(8))
    assert (client.got, client.closed) == ([], None)
    assert interest.wanted() == [ROOM]
    interest.compare([RedisHead(ROOM, 1, 7, [publication(6), publication(7)])])
    assert client.got == [6, 7, 8]


def test_an_opening_under_way_gets_what_was_caught_up_with() -> None:
    """Archive had read the room before; meanwhile the others here were brought further."""
    backlog, interest = fresh()
    there, coming = Client(interest), Client(interest)
    assert there.join(1, 5)
    token = backlog.begin(lambda: None)
    interest.hub.publish(ROOM, publication(8))
    interest.compare([RedisHead(ROOM, 1, 7, [publication(6), publication(7)])])
    assert coming.join(1, 5)
    backlog.end(token)
    assert coming.got == there.got == [6, 7, 8]


def test_a_hole_that_redis_cannot_fill_sends_every_member_back() -> None:
    """The room's members are closed with 3010."""
    _, interest = fresh()
    one, two = Client(interest), Client(interest)
    assert one.join(1, 5)
    assert two.join(1, 5)
    interest.hub.publish(ROOM, publication(7))
    interest.compare([RedisHead(ROOM, 1, 7)])
    assert one.closed is two.closed is Disconnect.INSUFFICIENT_STATE
    assert not interest.hub.rooms()


def test_a_hole_waits_for_a_room_that_is_being_rebuilt_but_not_for_ever() -> None:
    """Redis does not have the room: it is asked again at the next beats, and then the members are closed with 3010."""
    _, interest = fresh()
    client = Client(interest)
    assert client.join(1, 5)
    interest.hub.publish(ROOM, publication(7))
    for _ in range(PATIENCE):
        assert interest.wanted() == [ROOM]
        interest.compare([RedisHead(ROOM, 0, 0)])
        assert client.closed is None
    interest.compare([RedisHead(ROOM, 0, 0)])
    assert client.closed is Disconnect.INSUFFICIENT_STATE


def test_a_later_epoch_goes_on_and_an_earlier_one_is_void() -> None:
    """Numbers are dense over a rebuild; what a slow router still sends of before counts for nothing."""
    _, interest = fresh()
    client = Client(interest)
    assert client.join(2, 5)
    interest.hub.publish(ROOM, publication(6, epoch=1))
    assert client.got == []
    interest.hub.publish(ROOM, publication(6, epoch=3))
    assert (client.got, client.closed) == ([6], None)


def test_a_later_epoch_that_knows_less_than_was_pushed_sends_members_back() -> None:
    """It must never happen; if it does, clients reload."""
    _, interest = fresh()
    client = Client(interest)
    assert client.join(2, 5)
    interest.hub.publish(ROOM, publication(4, epoch=3))
    assert client.closed is Disconnect.INSUFFICIENT_STATE


def test_a_full_backlog_fails_the_oldest_opening_only() -> None:
    """More publications than may be kept: the oldest opening is given up, the younger one goes on."""
    backlog, interest = fresh(limit=3)
    failed: list[str] = []
    backlog.begin(lambda: failed.append("old"))
    interest.hub.publish(ROOM, publication(2))
    interest.hub.publish(ROOM, publication(3))
    backlog.begin(lambda: failed.append("young"))
    interest.hub.publish(ROOM, publication(4))
    interest.hub.publish(ROOM, publication(5))
    assert failed == ["old"]
    assert [kept.offset for kept in backlog.since(ROOM, 1, 1)] == [4, 5]


def test_a_user_who_enters_a_room_gets_what_follows() -> None:
    """RoomEntered joins the user's connections at its offset; the next publication reaches them."""
    _, interest = fresh()
    client = Client(interest)
    interest.hub.add(client)
    interest.hub.enter(_entered(client.user, 4))
    interest.hub.publish(ROOM, publication(5))
    assert client.got == [5]


def _entered(user: UserId, offset: int) -> RoomEntered:
    head = Head(seq=0, offset=offset, epoch="1")
    summary = RoomSummary(room=ROOM, kind="group", role="member", head=head, read_seq=0, unread=0, members=2)
    return RoomEntered(user=user, room=ROOM, epoch=1, offset=offset, summary=summary)


def test_an_entered_room_of_nobody_here_becomes_unneeded() -> None:
    """RoomEntered for a user who has left: interest in the room and the user is removed."""
    _, interest = fresh()
    user = UserId(str(uuid.uuid4()))
    interest.hub.enter(_entered(user, 4))
    assert interest.unneeded() == ([(ROOM, 0)], [(user, 0)])


def test_revocation_closes_the_session_meant_and_no_other() -> None:
    """One session, all but one, or all; other users stay."""
    _, interest = fresh()
    user = UserId(str(uuid.uuid4()))
    one, two, other = Client(interest, user), Client(interest, user), Client(interest)
    for client in (one, two, other):
        interest.hub.add(client)
    assert interest.hub.revoke(SessionsRevoked(user=user, session=str(uuid.uuid4()), time=0)) == 0
    assert interest.hub.revoke(SessionsRevoked(user=user, except_session=two.session, time=0)) == 1
    assert (one.closed, two.closed) == (Disconnect.FORCED, None)
    assert interest.hub.revoke(SessionsRevoked(user=user, time=0)) == 1
    assert other.closed is None


def test_who_is_put_out_of_a_room_hears_that_and_no_more() -> None:
    """By the event itself, on all its connections, whether or not its gateway is told besides; once it may be back."""
    _, interest = fresh()
    user = UserId(str(uuid.uuid4()))
    one, two, other = Client(interest, user), Client(interest, user), Client(interest)
    for client in (one, two, other):
        interest.hub.add(client)
        assert client.join(1, 5)
    interest.hub.publish(ROOM, Kept(1, 6, b"6", out=user))
    interest.hub.publish(ROOM, publication(7))
    assert one.join(1, 7)
    interest.hub.publish(ROOM, publication(8))
    assert (one.got, two.got, other.got) == ([6, 8], [6], [6, 7, 8])


def test_a_room_that_stays_behind_its_head_is_sent_back() -> None:
    """It is so far behind that Redis does not have what it misses: two sweeps in a row say so."""
    _, interest = fresh()
    client = Client(interest)
    assert client.join(1, 5)
    interest.compare([RedisHead(ROOM, 1, 600)])
    assert client.closed is None
    interest.compare([RedisHead(ROOM, 1, 601)])
    assert client.closed is Disconnect.INSUFFICIENT_STATE


def test_a_lost_last_event_comes_with_the_next_sweep() -> None:
    """No hole shows it, but the visible head does."""
    _, interest = fresh()
    client = Client(interest)
    assert client.join(1, 5)
    interest.compare([RedisHead(ROOM, 1, 6, [publication(6)])])
    interest.hub.publish(ROOM, publication(6))
    assert (client.got, client.closed) == ([6], None)


def test_a_room_that_catches_up_between_sweeps_stays() -> None:
    """Being a little behind at each sweep is normal in a busy room."""
    _, interest = fresh()
    client = Client(interest)
    assert client.join(1, 5)
    interest.compare([RedisHead(ROOM, 1, 6)])
    interest.hub.publish(ROOM, publication(6))
    interest.compare([RedisHead(ROOM, 1, 7)])
    assert client.closed is None
    assert client.got == [6]


def test_interest_waits_for_openings_that_were_under_way() -> None:
    """A room is not given up while an opening that may bring a member is pending, and only up to its time's token."""
    backlog, interest = fresh()
    client = Client(interest)
    assert client.join(1, 5)
    pending = backlog.begin(lambda: None)
    interest.hub.remove(client, [ROOM])
    assert interest.unneeded() == ([], [])
    younger = backlog.begin(lambda: None)
    backlog.end(pending)
    rooms, users = interest.unneeded()
    assert rooms == [(ROOM, pending)]
    assert users == []
    assert younger > pending

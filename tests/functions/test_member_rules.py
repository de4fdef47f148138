"""NUMBER's rules about members and what COMMIT makes of them, on a real Redis: owner > moderator > member."""

from __future__ import annotations

import pytest

from chat_functions import entrance
from chat_functions.numbering import (
    Mark,
    Numbers,
    Operation,
    Outcome,
    Reading,
    Refused,
    Unchanged,
    queue_mark,
    queue_may_read,
    read_commit,
    read_number,
)
from chat_functions.redis_link import RedisLink
from pulsar_data import ids, redis_keys
from pulsar_data.errors import ErrorCode
from pulsar_data.events import MemberBanned, MemberJoined, MemberLeft, MemberMuted, MemberRoleChanged, RoomEvent
from pulsar_data.ids import SYSTEM
from pulsar_data.model import UserId
from pulsar_data.rooms import Role
from tests.functions.room import Room, member, new_user, now

pytestmark = pytest.mark.anyio
ROLES: tuple[Role, ...] = ("member", "moderator", "owner")


async def room_with(redis: RedisLink, *roles: Role, kind: str = "group") -> tuple[Room, list[UserId]]:
    """A room with an owner and these members."""
    room, users = Room(redis), [new_user() for _ in roles]
    await room.seed(epoch=1, kind=kind, owners=str(1 + roles.count("owner")))
    for user, role in zip(users, roles, strict=True):
        await room.add(user, member(role))
    return room, users


def event_of(kind: type[RoomEvent], room: Room, user: UserId, **fields: object) -> RoomEvent:
    """An event; numbers and actor are given later."""
    common = {"room": room.id, "epoch": 1, "offset": 1, "time": 1, "actor": user, "digest": "d"}
    return kind.model_validate({**common, "key": ids.new_key(now()), "user": user, **fields})


def allowed(outcome: Outcome) -> bool:
    """Whether it got numbers; else the rules must say 103."""
    assert isinstance(outcome, Numbers) or outcome == Refused(ErrorCode.PERMISSION_DENIED), outcome
    return isinstance(outcome, Numbers)


@pytest.mark.parametrize("operation", ["remove", "mute", "ban"])
async def test_nobody_acts_on_somebody_of_an_equal_or_higher_role(redis: RedisLink, operation: Operation) -> None:
    """And a plain member on nobody."""
    room, users = await room_with(redis, *ROLES, *ROLES)
    actors, targets = users[:3], users[3:]
    outcomes = await room.number(*(room.about(operation, target, actor) for actor in actors for target in targets))
    assert [allowed(outcome) for outcome in outcomes] == [False] * 3 + [True, False, False] + [True, True, False]


async def test_roles_are_given_by_owners(redis: RedisLink) -> None:
    """To others of a lower role; stepping down is for everybody who can."""
    room, (plain, moderator, owner) = await room_with(redis, *ROLES)
    outcomes = await room.number(
        room.about("role", plain, moderator, "moderator"),
        room.about("role", owner, role="member"),
        room.about("role", plain, plain, "owner"),
        room.about("role", plain, role="owner"),
        room.about("role", moderator, moderator, "member"),
        room.about("role", owner, owner, "member"),
    )
    assert [allowed(outcome) for outcome in outcomes] == [False, False, False, True, True, True]


async def test_a_moderator_adds_plain_members_only(redis: RedisLink) -> None:
    """Owners add any."""
    room, (moderator,) = await room_with(redis, "moderator")
    outcomes = await room.number(
        *(room.about("add", new_user(), actor, role) for actor in (moderator, room.owner) for role in ROLES)
    )
    assert [allowed(outcome) for outcome in outcomes] == [True, False, False, True, True, True]


async def test_the_last_owner_cannot_go(redis: RedisLink) -> None:
    """Neither leave nor step down: 407. When another owner is there, or nobody else, it can."""
    room, (plain,) = await room_with(redis, "member")
    going = (room.about("leave", room.owner), room.about("role", room.owner, role="member"))
    assert await room.number(*going) == [Refused(ErrorCode.CONFLICT)] * 2
    promoted = event_of(MemberRoleChanged, room, plain, role="owner")
    await room.happen(room.about("role", plain, role="owner"), promoted)
    await room.happen(room.about("leave", room.owner), event_of(MemberLeft, room, room.owner))
    assert await room.member(room.owner) is None
    await room.happen(room.about("leave", plain, plain), event_of(MemberLeft, room, plain))


async def test_a_channel_is_never_left_without_owner(redis: RedisLink) -> None:
    """Others may still join it."""
    room, _ = await room_with(redis, kind="channel")
    assert await room.number(room.about("leave", room.owner)) == [Refused(ErrorCode.CONFLICT)]


async def test_anybody_joins_a_channel_and_nothing_else(redis: RedisLink) -> None:
    """But once, and not when banned, and not when it is full."""
    channel, _ = await room_with(redis, kind="channel")
    group, _ = await room_with(redis)
    user, banned = new_user(), new_user()
    await channel.ban(banned)
    assert await group.number(group.about("join", user, user)) == [Refused(ErrorCode.PERMISSION_DENIED)]
    assert await channel.number(channel.about("join", banned, banned), channel.about("join", user, user, limit=1)) == [
        Refused(ErrorCode.BANNED), Refused(ErrorCode.ROOM_FULL),
    ]  # fmt: skip
    joined = event_of(MemberJoined, channel, user, role="member", joined_seq=0)
    numbers = await channel.happen(channel.about("join", user, user), joined)
    outcomes = await channel.number(channel.about("join", user, user))
    assert outcomes == [Unchanged(numbers.offset, numbers.time)]


async def test_who_leaves_a_channel_while_muted_comes_back_when_the_mute_is_over(redis: RedisLink) -> None:
    """405 until then, as they would be heard again; a moderator may add them."""
    for until, muted in ((10**14 - now(), True), (-60_000, False)):
        room, loud = Room(redis), new_user()
        await room.seed(epoch=1, kind="channel")
        await room.add(loud, member(muted_until=now() + until))
        (left,) = await room.number(room.about("leave", loud, actor=loud))
        assert isinstance(left, Numbers)
        await redis.execute(lambda pipe, _: pipe.hdel(redis_keys.members(room.id), loud))  # noqa: B023
        again, added = await room.number(room.about("join", loud, actor=loud), room.about("add", loud, role="member"))
        assert (again == Refused(ErrorCode.MUTED)) == muted
        assert isinstance(added, Numbers)
        (ends,) = await redis.execute(lambda pipe, _: pipe.pttl(redis_keys.muted(room.id)))  # noqa: B023
        assert ends > 29 * 86_400_000 if muted else ends < 0


async def test_who_is_put_out_of_rooms_is_counted_for_a_day(redis: RedisLink) -> None:
    """Also who was no member, as a ban clears their list as well; not who is one again."""
    room, often, never = Room(redis), new_user(), new_user()
    await room.seed(epoch=1)
    await room.add(never, member())
    for offset in range(3):
        for user in (often, never):
            await entrance.let_out(redis, entrance.Left(room.id, user, 1, offset))
    assert await entrance.departures(redis, [often, never]) == [3, 0]
    (ends,) = await redis.execute(lambda pipe, _: pipe.pttl(redis_keys.limit("departures", often)))
    assert 0 < ends <= 86_400_000


async def test_a_direct_room_has_no_changes_of_members(redis: RedisLink) -> None:
    """Not one."""
    room, (other,) = await room_with(redis, "owner", kind="direct")
    operations: tuple[Operation, ...] = ("join", "leave", "add", "remove", "role", "mute", "ban", "unban")
    outcomes = await room.number(*(room.about(operation, other, role="member") for operation in operations))
    assert outcomes == [Refused(ErrorCode.PERMISSION_DENIED)] * len(operations)


async def test_who_is_banned_is_no_member_and_becomes_none(redis: RedisLink) -> None:
    """Until it is not banned any more. Whoever is no member can be banned too."""
    room, (user,) = await room_with(redis, "member")
    await room.happen(room.about("ban", user), event_of(MemberBanned, room, user, banned=True))
    assert await room.member(user) is None
    sent, added = await room.number(room.request(actor=user), room.about("add", user, role="member"))
    assert sent == added == Refused(ErrorCode.BANNED)
    await room.happen(room.about("unban", user), event_of(MemberBanned, room, user, banned=False))
    outcomes = await room.number(
        room.about("unban", user), room.about("add", user, role="member"), room.about("ban", new_user())
    )
    assert [type(outcome) for outcome in outcomes] == [Refused, Numbers, Numbers]


async def test_a_membership_is_changed_in_place(redis: RedisLink) -> None:
    """Role and mute change, read mark and join stay; and it is known which event did it."""
    room, (user,) = await room_with(redis, "member")
    await room.add(user, member(joined_seq=7, read_seq=9))
    until = now() + 10**12
    await room.happen(room.about("mute", user), event_of(MemberMuted, room, user, until=until))
    numbers = await room.happen(
        room.about("role", user, role="moderator"), event_of(MemberRoleChanged, room, user, role="moderator")
    )
    kept = member("moderator", joined_seq=7, read_seq=9, muted_until=until, offset=numbers.offset, time=numbers.time)
    assert await room.member(user) == kept


async def test_a_member_that_is_not_there_is_402(redis: RedisLink) -> None:
    """Nothing can be done to it."""
    room, _ = await room_with(redis)
    operations: tuple[Operation, ...] = ("remove", "role", "mute", "unban")
    outcomes = await room.number(*(room.about(operation, new_user(), role="member") for operation in operations))
    assert outcomes == [Refused(ErrorCode.USER_NOT_FOUND)] * 4


async def test_what_was_found_out_about_users_counts_behind_the_rules(redis: RedisLink) -> None:
    """Who may not add learns nothing of who exists."""
    room, (plain,) = await room_with(redis, "member")
    outcomes = await room.number(
        *(
            room.request(operation="add", actor=actor, verdict=402, asks=(new_user(), "member", 100))
            for actor in (plain, room.owner)
        )
    )
    assert outcomes == [Refused(ErrorCode.PERMISSION_DENIED), Refused(ErrorCode.USER_NOT_FOUND)]


async def test_the_product_around_us_stands_above_owners(redis: RedisLink) -> None:
    """Without being a member it sends, and removes an owner; it cannot make a room."""
    room, _ = await room_with(redis)
    outcomes = await room.number(room.request(actor=SYSTEM), room.about("remove", room.owner, SYSTEM))
    assert [allowed(outcome) for outcome in outcomes] == [True, True]
    absent = Room(redis)
    await absent.seed(epoch=1, state="absent")
    assert await absent.number(absent.request(operation="create", actor=SYSTEM)) == [
        Refused(ErrorCode.PERMISSION_DENIED)
    ]


async def test_a_key_gives_its_first_numbers_whatever_the_rules_say_now(redis: RedisLink) -> None:
    """Who has left is told again that it left, and what it had sent."""
    room, (user,) = await room_with(redis, "member")
    sent = room.request(actor=user)
    (first,) = await room.number(sent)
    assert isinstance(first, Numbers)
    await room.commit(sent, first)
    leave = room.about("leave", user, user)
    gone = await room.happen(leave, event_of(MemberLeft, room, user))
    again = await room.number(sent, leave)
    assert [(one.offset, one.committed) for one in again if isinstance(one, Numbers)] == [
        (first.offset, True), (gone.offset, True),
    ]  # fmt: skip


async def test_a_read_mark_rises_and_never_falls(redis: RedisLink) -> None:
    """Up to the head and no further; a mark of another epoch is refused; large rooms are not told."""
    room, (user,) = await room_with(redis, "member")
    for _ in range(3):
        await room.send()
    await room.open(token=1)

    async def asked(seq: int) -> Outcome:
        return read_number((await redis.execute(lambda p, run: queue_may_read(p, run, room.id, user, seq)))[0])

    async def marked(seq: int, small: int = 2, epoch: int = 1) -> object:
        reading = Reading(room.id, user, epoch, seq)
        return read_commit((await redis.execute(lambda p, run: queue_mark(p, run, reading, small)))[0])

    assert await asked(4) == Refused(ErrorCode.MESSAGE_NOT_FOUND)
    assert await asked(2) == Mark(1, 3)
    assert await marked(2) == ("gw-1",)
    assert await marked(1, small=1) == ()
    assert await asked(2) == "read"
    assert await marked(3, epoch=0) == "lost"
    known = await room.member(user)
    assert known is not None
    assert known.read_seq == 2

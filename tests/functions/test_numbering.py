"""NUMBER, COMMIT, SEED and OPEN on a real Redis: the rules that numbers obey."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from chat_functions.numbering import LookUp, Numbers, Refused, Unchanged
from chat_functions.redis_link import RedisLink, RedisUnavailable
from pulsar_data import redis_keys
from pulsar_data.errors import ErrorCode
from pulsar_data.events import ROOM_EVENT
from tests.functions.room import Room, member, new_user, now

pytestmark = pytest.mark.anyio


def numbers(outcome: object) -> Numbers:
    """The outcome, which must be numbers."""
    assert isinstance(outcome, Numbers), outcome
    return outcome


async def test_numbers_are_dense_in_the_order_of_the_calls(redis: RedisLink) -> None:
    """Many sends in one pipeline get one number after the other."""
    room = Room(redis)
    await room.seed(epoch=7, offset=10, seq=4)
    given = [numbers(outcome) for outcome in await room.number(*(room.request() for _ in range(20)))]
    assert [one.offset for one in given] == list(range(11, 31))
    assert [one.seq for one in given] == list(range(5, 25))
    assert {one.epoch for one in given} == {7}


async def test_a_key_keeps_its_numbers_before_and_after_commit(redis: RedisLink) -> None:
    """A command that comes again gets its first numbers and time, and is told whether it is visible."""
    room = Room(redis)
    await room.seed(epoch=1)
    request = room.request()
    first, again = map(numbers, await room.number(request, request))
    assert (again.offset, again.seq, again.time, again.committed) == (first.offset, first.seq, first.time, False)
    await room.commit(request, first)
    after = numbers((await room.number(request))[0])
    assert (after.offset, after.seq, after.time, after.committed) == (first.offset, first.seq, first.time, True)


async def test_a_redelivery_is_no_duplicate_but_a_repeat_is(redis: RedisLink) -> None:
    """Only another request of a client with the same key is told `duplicate`."""
    room = Room(redis)
    await room.seed(epoch=1)
    request = room.request(origin="g/1")
    repeat = room.request(key=request.key, origin="g/2")
    outcomes = [numbers(outcome) for outcome in await room.number(request, request, repeat)]
    assert [outcome.duplicate for outcome in outcomes] == [False, False, True]


async def test_a_key_with_another_content_is_a_conflict(redis: RedisLink) -> None:
    """And takes no number."""
    room = Room(redis)
    await room.seed(epoch=1)
    request = room.request(digest="one")
    outcomes = await room.number(request, room.request(key=request.key, digest="other"), room.request())
    assert outcomes[1] == "conflict"
    assert numbers(outcomes[2]).offset == numbers(outcomes[0]).offset + 1


@pytest.mark.parametrize(
    ("membership", "code"),
    [
        (None, ErrorCode.NOT_A_MEMBER),
        (member(muted_until=now() + 3_600_000), ErrorCode.MUTED),
    ],
)
async def test_who_may_not_send_gets_no_number(redis: RedisLink, membership: object, code: ErrorCode) -> None:
    """Strangers, banned and muted members are refused, each with its own code."""
    room, user = Room(redis), new_user()
    await room.seed(epoch=1)
    if membership is not None:
        await room.add(user, membership)  # type: ignore[arg-type]
    assert await room.number(room.request(actor=user)) == [Refused(code)]
    assert (await room.send()).offset == 1


async def test_a_command_that_was_refused_is_refused_when_it_comes_again(redis: RedisLink) -> None:
    """Whatever has changed since: its sender was told no, and may have said it otherwise. A repeat of theirs is new."""
    room, late = Room(redis), new_user()
    await room.seed(epoch=1)
    request = room.request(actor=late)
    assert await room.number(request) == [Refused(ErrorCode.NOT_A_MEMBER)]
    await room.add(late, member())
    assert await room.number(request) == [Refused(ErrorCode.NOT_A_MEMBER)]
    key = redis_keys.idempotency(room.id, late, request.key)
    (repeat,) = await room.number(replace(request, origin="g/2"))
    assert isinstance(repeat, Numbers)
    assert await room.number(request) == [Refused(ErrorCode.NOT_A_MEMBER)]
    ends = (await redis.execute(lambda pipe, _: pipe.pttl(key)))[0]
    assert ends > 3_600_000, "its numbers are remembered for as long as those of others"


async def test_what_failed_for_the_moment_is_tried_when_it_comes_again(redis: RedisLink) -> None:
    """100 says nothing of the command."""
    room = Room(redis)
    await room.seed(epoch=1)
    request = room.request()
    assert await room.number(replace(request, verdict=100)) == [Refused(ErrorCode.INTERNAL)]
    (again,) = await room.number(request)
    assert isinstance(again, Numbers)


async def test_where_a_key_could_not_be_looked_up_no_rule_is_asked(redis: RedisLink) -> None:
    """Who has left may be repeating that: whether it happened is not known, so it is asked again, and not refused."""
    room, user = Room(redis), new_user()
    await room.seed(epoch=1)
    request = replace(room.request(actor=user), verdict=int(ErrorCode.INTERNAL))
    assert await room.number(request) == [Refused(ErrorCode.INTERNAL)]


async def test_a_mute_ends_by_itself(redis: RedisLink) -> None:
    """A time that has passed mutes nobody."""
    room, user = Room(redis), new_user()
    await room.seed(epoch=1)
    await room.add(user, member(muted_until=now() - 1))
    numbers((await room.number(room.request(actor=user)))[0])


async def test_only_owners_and_moderators_add_members(redis: RedisLink) -> None:
    """A plain member is refused with 103."""
    room, plain, moderator = Room(redis), new_user(), new_user()
    await room.seed(epoch=1)
    await room.add(plain, member())
    await room.add(moderator, member("moderator"))
    refused, allowed = await room.number(
        room.about("add", new_user(), actor=plain, role="member"),
        room.about("add", new_user(), actor=moderator, role="member"),
    )
    assert refused == Refused(ErrorCode.PERMISSION_DENIED)
    assert numbers(allowed).seq == 0, "an event that is no message takes no seq"


async def test_nobody_is_added_to_a_direct_room(redis: RedisLink) -> None:
    """Not even by its owner."""
    room = Room(redis)
    await room.seed(epoch=1, kind="direct")
    outcomes = await room.number(room.about("add", new_user(), role="member"))
    assert outcomes == [Refused(ErrorCode.PERMISSION_DENIED)]


async def test_a_member_is_not_added_twice_and_a_full_room_takes_nobody(redis: RedisLink) -> None:
    """The first answer is told again; 404 beyond the limit."""
    room, user = Room(redis), new_user()
    await room.seed(epoch=1)
    await room.add(user, member(offset=5, time=17))
    there, full = await room.number(
        room.about("add", user, role="member", limit=2), room.about("add", new_user(), role="member", limit=2)
    )
    assert there == Unchanged(5, 17)
    assert full == Refused(ErrorCode.ROOM_FULL)


async def test_a_room_that_redis_does_not_have_is_lost(redis: RedisLink) -> None:
    """No head: nobody may number in it."""
    assert await Room(redis).number(Room(redis).request()) == ["lost"]


async def test_a_room_of_another_run_of_redis_is_lost(redis: RedisLink) -> None:
    """An older copy of Redis that came back gives no number again, commits nothing and opens nothing."""
    room = Room(redis)
    await room.seed(epoch=1)
    request = room.request()
    (given,) = await room.number(request)
    await room.pretend_other_run()
    assert await room.number(room.request()) == ["lost"]
    assert await room.commit(request, numbers(given)) == "lost"
    assert (await room.open())[0] == "lost"


async def test_a_room_that_does_not_exist_is_known_not_to(redis: RedisLink) -> None:
    """Sends are refused without a rebuild; a create makes it."""
    room = Room(redis)
    await room.seed(epoch=9, state="absent")
    sent, made = await room.number(room.request(), room.request(operation="create"))
    assert sent == "no_room"
    assert (numbers(made).offset, numbers(made).epoch) == (1, 9)


async def test_a_room_that_exists_is_not_created_again(redis: RedisLink) -> None:
    """Whoever starts a direct room second is shown the first one."""
    room = Room(redis)
    await room.seed(epoch=1, offset=1)
    assert await room.number(room.request(operation="create")) == ["exists"]


async def test_after_a_rebuild_unseen_keys_are_looked_up_once_per_epoch(redis: RedisLink) -> None:
    """What Cassandra said in an earlier epoch counts for nothing in a later one."""
    room = Room(redis)
    until = now() + 60_000
    await room.seed(epoch=3, look_up_until=until)
    request = room.request(made=until - 1)
    assert await room.number(request) == [LookUp(3)]
    assert await room.number(replace(request, looked_up=2)) == [LookUp(3)]
    numbers((await room.number(replace(request, looked_up=3)))[0])
    numbers((await room.number(request))[0])


async def test_a_key_that_was_made_long_after_a_rebuild_is_new(redis: RedisLink) -> None:
    """Nobody took a key from so far ahead before: Cassandra need not be there for it."""
    room = Room(redis)
    until = now() - 60_000
    await room.seed(epoch=3, look_up_until=until)
    numbers((await room.number(room.request(made=until)))[0])
    assert await room.number(room.request(made=until - 1)) == [LookUp(3)]


async def test_an_old_key_is_always_looked_up(redis: RedisLink) -> None:
    """Redis may have forgotten it."""
    room = Room(redis)
    await room.seed(epoch=3)
    assert await room.number(room.request(made=0)) == [LookUp(3)]


async def test_pending_numbers_of_an_earlier_epoch_count_for_nothing_and_done_ones_do(redis: RedisLink) -> None:
    """A pending number may have been given to another message by the rebuild; a committed one was in the log."""
    room = Room(redis)
    await room.seed(epoch=1)
    done, pending = room.request(), room.request()
    given, lost = map(numbers, await room.number(done, pending))
    await room.commit(done, given)
    assert await room.seed(epoch=2, offset=1, seq=1, stuck=1)
    known, fresh = map(numbers, await room.number(done, pending))
    assert (known.offset, known.epoch, known.committed) == (given.offset, 1, True)
    assert (fresh.offset, fresh.epoch) == (lost.offset, 2)


async def test_commit_refuses_an_earlier_epoch(redis: RedisLink) -> None:
    """A zombie cannot make its event visible behind a rebuild."""
    room = Room(redis)
    await room.seed(epoch=1)
    request = room.request()
    (given,) = await room.number(request)
    await room.seed(epoch=2, stuck=1)
    assert await room.commit(request, numbers(given)) == "lost"


async def test_commit_leaves_no_hole(redis: RedisLink) -> None:
    """The second number is not visible before the first."""
    room = Room(redis)
    await room.seed(epoch=1)
    one, two = room.request(), room.request()
    first, second = map(numbers, await room.number(one, two))
    assert await room.commit(two, second) == "gap"
    assert not isinstance(await room.commit(one, first), str)
    assert not isinstance(await room.commit(two, second), str)


async def test_commit_twice_shows_once(redis: RedisLink) -> None:
    """Recent events hold each offset once, in order, and no more than their limit."""
    room = Room(redis)
    await room.seed(epoch=1)
    request = room.request()
    given = numbers((await room.number(request))[0])
    await room.commit(request, given)
    await room.commit(request, given)
    for _ in range(3):
        await room.send()
    opened = await room.open(epoch="1", offset=1)
    assert [ROOM_EVENT.validate_json(event).offset for event in opened[17:]] == [2, 3, 4]


async def test_a_send_is_read_by_its_sender(redis: RedisLink) -> None:
    """Its read mark goes with its message."""
    room = Room(redis)
    await room.seed(epoch=1)
    await room.send()
    await room.send()
    assert '"read_seq":2' in (await room.open())[12]


@pytest.mark.parametrize(
    ("epoch", "offset", "recovered", "count"),
    [
        ("5", 4, 1, 0),  # nothing missed
        ("5", 2, 1, 2),
        ("5", 1, 1, 3),  # all that is kept
        ("5", 0, 2, 0),  # one more than is kept: not a part of it, the log may have all
        ("4", 2, 0, 0),  # another epoch
        ("5", 9, 0, 0),  # ahead of the room: not of this world
        ("", 2, 0, 0),
    ],
)
async def test_a_client_recovers_all_or_nothing(
    redis: RedisLink, epoch: str, offset: int, recovered: int, count: int
) -> None:
    """From the recent events, which hold three here."""
    room = Room(redis)
    await room.seed(epoch=5)
    for _ in range(4):
        await room.send()
    opened = await room.open(epoch=epoch, offset=offset)
    assert (opened[14], opened[15], len(opened[17:])) == (1, recovered, count)


async def test_what_is_too_much_to_come_along_is_not_even_read(redis: RedisLink) -> None:
    """Its size is told, so that somebody else may read it, or not; the newest may be longer than most."""
    room = Room(redis)
    await room.seed(epoch=5)
    for _ in range(3):
        await room.send()
    size = sum(len(event) for event in (await room.open(epoch="5", offset=1))[17:])
    for along, recovered, count in ((size, 1, 2), (size - 1, 2, 0), (1, 2, 0)):
        opened = await room.open(epoch="5", offset=1, along=along)
        assert (opened[15], len(opened[17:])) == (recovered, count), along
        assert abs(opened[16] - size) < 10
    await redis.execute(lambda pipe, _: pipe.hset(redis_keys.head(room.id), "recent_bytes", 30))
    opened = await room.open(epoch="5", offset=1, along=size - 1)
    assert (opened[15], opened[16], len(opened[17:])) == (2, size, 0)


async def test_interest_keeps_its_highest_token(redis: RedisLink) -> None:
    """An opening that was slow does not lower what a later one wrote."""
    room = Room(redis)
    await room.seed(epoch=1)
    await room.open(token=5)
    await room.open(token=3)
    request = room.request()
    given = numbers((await room.number(request))[0])
    assert await room.commit(request, given) == ("gw-1",)


async def test_a_rebuild_does_not_replace_a_later_one(redis: RedisLink) -> None:
    """A zombie's seed changes nothing."""
    room = Room(redis)
    await room.seed(epoch=5, offset=8, seq=8)
    assert not await room.seed(epoch=4, offset=2, seq=2)
    assert (await room.send()).offset == 9


async def test_flushed_scripts_are_loaded_again(redis: RedisLink) -> None:
    """SCRIPT FLUSH costs one attempt, not the function."""
    room = Room(redis)
    await room.seed(epoch=1)
    await redis.execute(lambda pipe, _: pipe.script_flush())
    with pytest.raises(RedisUnavailable):
        await room.send()
    assert (await room.send()).offset == 1


async def test_behind_a_fence_nothing_is_committed_under_an_earlier_epoch(redis: RedisLink) -> None:
    """What would be published there, behind the marker, is void: it must not be acked."""
    room = Room(redis)
    await room.seed(epoch=1)
    request = room.request()
    (given,) = await room.number(request)
    assert await room.fence(epoch=2, stuck=1) == ["mine", "2"]
    assert await room.commit(request, numbers(given)) == "lost"
    assert await room.number(room.request()) == ["lost"]
    assert (await room.open())[0] == "lost"
    assert await room.seed_fenced(epoch=2)
    assert (await room.send()).epoch == 2


async def test_one_rebuilds_a_room_and_who_comes_later_waits_or_finds_it_there(redis: RedisLink) -> None:
    """Until nothing is heard of the one for a while; its seed does not count any more then."""
    room = Room(redis)
    assert await room.fence(epoch=5, age=60_000) == ["mine", "5"]
    assert await room.fence(epoch=5, age=60_000) == ["held"]
    assert await room.hold(epoch=5)
    await asyncio.sleep(0.05)
    assert await room.fence(epoch=5, age=40) == ["mine", "6"]
    assert not await room.hold(epoch=5)
    assert not await room.seed_fenced(epoch=5)
    assert await room.seed_fenced(epoch=6)
    assert await room.fence(epoch=7) == ["there", 1]
    assert await room.fence(epoch=7, stuck=5) == ["there", 1]  # it is not in that epoch any more
    assert (await room.send()).epoch == 6


async def test_a_seed_for_a_redis_that_was_lost_meanwhile_does_not_count(redis: RedisLink) -> None:
    """Somebody else may have rebuilt it there, and more may have been said."""
    room = Room(redis)
    await room.fence(epoch=5)
    await redis.execute(lambda pipe, _: pipe.delete(redis_keys.head(room.id)))
    assert not await room.seed_fenced(epoch=5)
    await room.fence(epoch=5)
    await room.pretend_other_run()
    assert not await room.seed_fenced(epoch=5)
    assert await room.number(room.request()) == ["lost"]


async def test_redis_keeps_fewer_of_long_events(redis: RedisLink) -> None:
    """Whoever reads in a room reads all of them: 2 KiB each, of as many as it may keep; always the last one."""
    room = Room(redis)
    await room.seed(epoch=1)
    for size in (10, 10, 3000, 3000, 3000, 9000, 10, 10, 10):
        request = room.request()
        (given,) = await room.number(request)
        assert not isinstance(await room.commit(request, numbers(given), event=b'"%s"' % (b"x" * size)), str)
    kept = (await redis.execute(lambda pipe, _: pipe.lrange(redis_keys.recent(room.id), 0, -1)))[0]
    assert [len(event) - 2 for event in kept] == [10, 10, 10]
    request = room.request()
    (given,) = await room.number(request)
    await room.commit(request, numbers(given), event=b'"%s"' % (b"x" * 9000))
    kept = (await redis.execute(lambda pipe, _: pipe.lrange(redis_keys.recent(room.id), 0, -1)))[0]
    assert [len(event) - 2 for event in kept] == [9000]

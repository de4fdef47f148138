"""The router's pure steps."""

from __future__ import annotations

import random
from collections import Counter
from unittest.mock import sentinel

from hypothesis import example, given
from hypothesis import strategies as st

from chat_functions.batching import Incoming
from chat_functions.numbering import Numbers
from chat_functions.work import AT_ONCE, Work, digest, parts, until_barrier, without_hole
from pulsar_data import ids
from pulsar_data.commands import AddMember, Command, CreateRoom, RebuildRoom, Sender, SendMessage
from tests.functions.room import new_user, now

ROOM = ids.created_room(new_user(), ids.new_key(now()))
ADA = new_user()


def send(text: str = "hello", gateway: str = "gw-1") -> SendMessage:
    """A send with a fresh key."""
    sender = Sender(gateway=gateway, client="c", request=1)
    return SendMessage(room=ROOM, actor=ADA, key=ids.new_key(now()), sender=sender, text=text)


def work(command: Command, offset: int = 0, visible: int = 0) -> Work:
    """A command, numbered if it has an offset; committed if that is visible."""
    item = Work(Incoming(sentinel.message), command)
    if offset:
        item.numbers = Numbers(1, offset, offset, 0, visible, committed=offset <= visible, duplicate=False)
    return item


def offsets(works: list[Work]) -> list[int]:
    """Their offsets, in order."""
    return [item.numbered.offset for item in works]


@given(st.integers(0, 50), st.lists(st.integers(1, 80)), st.randoms())
@example(4, [5, 5, 7], random.Random(0))
@example(4, [5, 5, 8, 8, 8], random.Random(0))
def test_nothing_behind_a_missing_number_goes_on(visible: int, given: list[int], order: random.Random) -> None:
    """What goes on is visible already, or follows the visible head densely; the rest waits; each work does one of both.

    Clients repeat what is not acked, so several works have one number.
    """
    works = [work(send(), offset, visible) for offset in given]
    order.shuffle(works)
    going, waiting = without_hole(works)
    dense = list(dict.fromkeys(offset for offset in offsets(going) if offset > visible))
    assert dense == list(range(visible + 1, visible + 1 + len(dense)))
    assert visible + len(dense) + 1 not in given
    assert Counter(map(id, going + waiting)) == Counter(map(id, works))


def test_what_follows_a_change_of_members_waits_for_it() -> None:
    """A batch of one room ends with the first command that changes who is a member."""
    add = AddMember(room=ROOM, actor=ADA, key=ids.new_key(now()), user=new_user())
    works = [work(send()), work(add), work(send())]
    assert until_barrier(works, now()) == (works[:1], works[1:]), "it is not known yet whether its user exists"
    works[1].asked_users = True
    assert until_barrier(works, now()) == (works[:2], works[2:])
    assert until_barrier(works[:1], now()) == (works[:1], [])
    rebuild = [work(RebuildRoom(room=ROOM)), work(send())]
    assert until_barrier(rebuild, now()) == (rebuild, []), "it changes nothing that anybody asks for"


def test_what_was_sent_behind_an_old_key_waits_for_its_look_up() -> None:
    """Somebody was away for a day, sends what was left, and says something new: in that order it is to be read."""
    old = send().model_copy(update={"key": ids.new_key(now() - 23 * 3600 * 1000)})
    works = [work(send()), work(old), work(send())]
    assert until_barrier(works, now()) == (works[:2], works[2:])
    works[1].looked_up = 1
    assert until_barrier(works, now()) == (works, [])


def test_the_digest_is_of_what_the_client_asked_and_not_of_its_socket() -> None:
    """A repeat over another gateway is the same; another text is not."""
    first = send()
    elsewhere = first.model_copy(update={"sender": Sender(gateway="gw-2", client="d", request=9)})
    other = first.model_copy(update={"text": "other"})
    assert digest(first) == digest(elsewhere) != digest(other)


def test_redis_is_asked_for_so_much_at_once_as_it_is_soon_done_with() -> None:
    """All of it, in order; a room with a thousand members is a part of its own."""
    large = CreateRoom.model_validate(
        {"room": ROOM, "actor": ADA, "key": ids.new_key(now()), "kind": "group", "name": "All",
         "members": [new_user() for _ in range(999)]}
    )  # fmt: skip
    works = [work(send()) for _ in range(AT_ONCE + 10)]
    works.insert(AT_ONCE + 5, work(large))
    found = list(parts(works))
    assert [len(part) for part in found] == [AT_ONCE, 5, 1, 5]
    assert [one for part in found for one in part] == works
    assert list(parts([])) == []

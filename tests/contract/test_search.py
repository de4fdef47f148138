"""message.search: all words, in all languages, newest first, and nothing that is not said any more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pulsar_data.errors import ErrorCode
from pulsar_data.ids import new_key
from tests.clients.waiting import until
from tests.contract.asking import now
from tests.contract.conftest import House
from tests.cql import statements
from tests.running_stack import Stack
from tests.stack.command import Command

pytestmark = [pytest.mark.stack, pytest.mark.anyio]

SAID = (
    "The quick brown fox",
    "A BROWN Straße with a fox's house",
    "東京タワーに行きました",
    "ประเทศไทยสวยงาม",
    "학교에서 만나요",
    "Привет, МИР! हिन्दी में",
    "nothing of that kind 👍",
)
FOUND: tuple[tuple[str, list[int]], ...] = (
    ("brown", [2, 1]),
    ("FOX brown", [1]),
    ("strasse", [2]),
    ("STRASSE ＢＲＯＷＮ", [2]),
    ("京タ", [3]),
    ("東京 行き", [3]),
    ("東行", []),
    ("ไทย", [4]),
    ("학교", [5]),
    ("мир", [6]),
    ("हिन्दी", [6]),
    ("👍", [7]),
    ("brow", []),
)


async def search(house: House, room: str, query: str, **asked: int) -> Sequence[int]:
    """The seqs of what is found."""
    page = await house.rpc("message.search", {"room": room, "query": query, **asked})
    return [message["seq"] for message in page["messages"]]


async def test_all_words_in_all_languages_at_once_and_later(house: House) -> None:
    """Right after the acks, and when only the index can know."""
    room = await house.room()
    await house.say(room, *SAID)
    for query, expected in FOUND:
        assert await search(house, room, query) == expected, query
    filler = 510  # so many events later Redis remembers none of them
    await house.say(room, *["filler"] * filler)
    await until_indexed(house)
    for query, expected in FOUND:
        assert await search(house, room, query) == expected, query
    pages: list[int] = []
    before = 10_000
    while page := await search(house, room, "filler", limit=100, before=before):
        pages += page
        before = page[-1]
    assert pages == list(range(len(SAID) + filler, len(SAID), -1))


async def test_edits_and_deletions_are_followed(house: House) -> None:
    """At once, since hits are held against the messages; and in the index, which keeps nothing of what is gone."""
    room = await house.room()
    await house.say(room, "apple tree", "apple pie", "apple juice")
    await until_indexed(house)
    await house.rpc("message.edit", {"room": room, "key": new_key(now()), "seq": 1, "text": "cherry tree"})
    await house.rpc("message.delete", {"room": room, "key": new_key(now()), "seq": 2})
    for query, expected in (("apple", [3]), ("cherry", [1]), ("tree", [1]), ("pie", [])):
        assert await search(house, room, query) == expected, query
    await until_indexed(house)
    terms = await asyncio.to_thread(indexed_terms, house.stack, room, ("apple", "cherry", "tree", "pie"))
    assert terms == {"apple": [3], "cherry": [1], "tree": [1], "pie": []}


def indexed_terms(stack: Stack, room: str, terms: Sequence[str]) -> dict[str, list[int]]:
    """What the index holds of these terms."""
    place = stack.cassandra
    with statements(place) as execute:
        select = f"SELECT seq FROM {place.keyspace}.message_terms WHERE room_id = {room} AND bucket = 0 AND term ="
        return {term: [row.seq for row in execute(f"{select} '{term}'")] for term in terms}


async def test_a_query_without_a_word_is_refused(house: House) -> None:
    """107, for punctuation as for nothing."""
    room = await house.room()
    for query in ("", "?!", "   "):
        assert await house.refusal("message.search", {"room": room, "query": query}) == ErrorCode.BAD_REQUEST


async def test_a_lost_index_is_made_again_from_the_messages(house: House) -> None:
    """By `chattifier search reindex`, which returns when it is done."""
    room = await house.room()
    await house.say(room, "a needle", *["hay"] * 510)
    await until_indexed(house)
    await house.functions.until_idle()
    await asyncio.to_thread(lose_index, house.stack)
    assert await search(house, room, "needle") == []
    done = await asyncio.to_thread(Command(house.stack.data).run, "search", "reindex", "--room", room)
    assert (done.code, done.out) == (0, "1 rooms are indexed.\n"), done.err
    assert await search(house, room, "needle") == [1]


def lose_index(stack: Stack) -> None:
    """Empty both of its tables."""
    place = stack.cassandra
    with statements(place) as execute:
        for table in ("message_terms", "terms_by_message"):
            execute(f"TRUNCATE {place.keyspace}.{table}")


async def until_indexed(house: House) -> None:
    """Wait until search-index has read everything."""

    async def idle() -> bool:
        return await house.functions.backlog("search-index") == 0

    await until("search-index has nothing left to do", idle, 60)

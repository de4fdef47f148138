"""Reads that must not be in each other's way, or look at two things in the wrong order."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from chat_functions.history import History
from chat_functions.readings import Reading
from chat_functions.search import finder
from chat_functions.search.finder import Search
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.model import RoomId, UserId
from pulsar_data.queries import ListMessages, SearchMessages
from pulsar_data.results import Found

pytestmark = pytest.mark.anyio
ROOM = RoomId(str(uuid.uuid4()))


def _query(user: UserId) -> SearchMessages:
    return SearchMessages(gateway="gw", request=1, user=user, deadline=0, room=ROOM, text="word")


class Held(Search):
    """Looks until it is told to stop."""

    def __init__(self) -> None:
        anything: Any = None
        super().__init__(anything, anything, anything, anything)
        self.looking = 0
        self.stop = asyncio.Event()

    async def _find(self, query: SearchMessages) -> Found:
        self.looking += 1
        await self.stop.wait()
        return Found(messages=(), more=False)


async def test_one_user_has_so_many_searches_and_all_together_take_turns() -> None:
    """One more of theirs is refused; others wait for their turn; when they are over all is as it was."""
    search = Held()
    mine, *others = (UserId(str(uuid.uuid4())) for _ in range(1 + finder.OF_ALL))
    tasks = [asyncio.create_task(search.find(_query(mine))) for _ in range(finder.OF_ONE)]
    await asyncio.sleep(0)
    with pytest.raises(ChatError) as refused:
        await search.find(_query(mine))
    assert refused.value.code == ErrorCode.TOO_MANY_REQUESTS
    tasks += [asyncio.create_task(search.find(_query(user))) for user in others]
    await asyncio.sleep(0.01)
    assert search.looking == finder.OF_ALL
    search.stop.set()
    await asyncio.gather(*tasks)
    assert search.looking == finder.OF_ONE + finder.OF_ALL
    assert (await search.find(_query(mine))).more is False


async def test_whether_the_store_lags_is_asked_before_the_page_is_read() -> None:
    """What is stored while the page is read would pass for stored before, and is not in the page."""
    done: list[str] = []

    class Log:
        async def check(self, _: Reading) -> None:
            await asyncio.sleep(0.01)
            done.append("checked")

    class Stored:
        async def down(self, *_: object) -> dict[int, Any]:
            done.append("read")
            return {}

    class Rooms:
        async def open(self, *_: object) -> Reading:
            return Reading(room=ROOM, epoch=1, offset=9, seq=9, first=1, fresh=())

    log: Any = Log()
    stored: Any = Stored()
    rooms: Any = Rooms()
    user = UserId(str(uuid.uuid4()))
    await History(rooms, stored, log).page(ListMessages(gateway="gw", request=1, user=user, deadline=0, room=ROOM))
    assert done == ["checked", "read"]

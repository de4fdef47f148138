"""A user is in a bounded number of rooms."""

from __future__ import annotations

import uuid
from unittest.mock import sentinel

import pytest

from chat_functions.batching import Incoming
from chat_functions.look_ups import STATEMENTS, LookUps
from chat_functions.settings import Settings
from chat_functions.tables import Tables
from chat_functions.work import Work
from pulsar_data import ids
from pulsar_data.commands import AddMember, BanMember, Change
from pulsar_data.config import Live
from pulsar_data.errors import ErrorCode
from pulsar_data.model import RoomId, UserId
from tests.clients.device import devices, group
from tests.clients.people import sign_up
from tests.clients.waiting import until
from tests.running_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


async def test_who_is_in_enough_rooms_enters_no_more(stack: Stack) -> None:
    """106, for as many as the setting says; a ban is no entry. Asked of Cassandra, as the router asks it."""
    ada, grace = await sign_up(stack.auth, 2)
    async with devices((ada, stack.gateways[0])) as (device,):
        await group(device)
    place = stack.cassandra
    tables = Tables(Settings(cassandra=f"{place.host}:{place.port}", keyspace=place.keyspace))
    await tables.connect(STATEMENTS)

    async def verdict(kind: type[AddMember] | type[BanMember], user: str, limit: int) -> int | None:
        work = Work(Incoming(sentinel.message), _command(kind, UserId(user)))
        await LookUps(tables, Live(Settings(room_limit=limit))).users([work])
        return work.verdict

    async def is_stored() -> bool:
        return await verdict(AddMember, ada.user, limit=1) == ErrorCode.LIMIT_EXCEEDED

    await until("the room is in the list of Ada's", is_stored, 60, every=0.5)
    assert await verdict(AddMember, ada.user, limit=2) is None
    assert await verdict(BanMember, ada.user, limit=1) is None
    assert await verdict(AddMember, grace.user, limit=1) is None
    assert await verdict(AddMember, str(uuid.uuid4()), limit=1) == ErrorCode.USER_NOT_FOUND
    await tables.close()


def _command(kind: type[AddMember] | type[BanMember], user: UserId) -> Change:
    return kind(room=RoomId(str(uuid.uuid4())), actor=user, key=ids.new_key(1), user=user)

"""Asks search-index to make the index of rooms again, and waits until it has.

A few rooms at a time: more would fill what the function takes at once, and what is being said would wait behind them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice

import pulsar

from chattifier import schema
from chattifier.errors import StackError
from chattifier.pulsar_client import Broker, connected
from chattifier.schema import CassandraAddress
from chattifier.topics import Admin
from pulsar_data.model import RoomId
from pulsar_data.search import ReindexRoom
from pulsar_data.topics import REINDEX, SEARCH_INDEX

AT_ONCE = 200
"""Rooms that are asked for at the same time."""
STUCK = 600.0
"""Seconds without any room done after which something must be wrong. A long room takes its time."""


class Reindexing:
    """Rooms one group after the other."""

    def __init__(self, admin: Admin, producer: pulsar.Producer) -> None:
        """See `opened`."""
        self._admin = admin
        self._producer = producer

    def rooms(self, rooms: Iterator[RoomId], done: Callable[[int], None]) -> int:
        """Index these rooms again. Returns how many; `done` is told each time some more are. Raises StackError."""
        count = 0
        while group := list(islice(rooms, AT_ONCE)):
            for room in group:
                self._producer.send(ReindexRoom(room=room).to_json(), partition_key=room)
            count += len(group)
            self._await_none_left(partial(_tell, done, count))
        return count

    def _await_none_left(self, left_are: Callable[[int], None]) -> None:
        before, deadline = -1, time.monotonic() + STUCK
        while left := self._left():
            if left != before:
                left_are(left)
                before, deadline = left, time.monotonic() + STUCK
            if time.monotonic() > deadline:
                raise StackError(f"{SEARCH_INDEX} does not go on: see `chattifier logs {SEARCH_INDEX}-0`.")
            time.sleep(0.2)
        left_are(0)

    def _left(self) -> int:
        path = REINDEX.replace("://", "/")
        stats = self._admin.request("GET", f"/admin/v2/{path}/partitioned-stats?getPreciseBacklog=true").json()
        subscription = stats["subscriptions"].get(SEARCH_INDEX)
        if subscription is None:
            raise StackError(f"{SEARCH_INDEX} is not deployed here: run `chattifier deploy`.")
        return int(subscription["msgBacklog"])


def _tell(done: Callable[[int], None], asked: int, left: int) -> None:
    done(asked - left)


@contextmanager
def opened(broker: Broker, admin: Admin) -> Iterator[Reindexing]:
    """Connect. Raises StackError if that is not possible."""
    with connected(broker) as client:
        yield Reindexing(admin, client.create_producer(REINDEX))


@contextmanager
def all_rooms(address: CassandraAddress) -> Iterator[Iterator[RoomId]]:
    """Every room that is stored, page by page."""
    with schema.session(address) as execute:
        rows = execute(f"SELECT room_id FROM {address.keyspace}.rooms_by_id")
        yield (RoomId(str(row.room_id)) for row in rows)

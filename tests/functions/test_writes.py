"""How rows are packed into batches: no batch that Cassandra warns of, none that it refuses, no row left out."""

from __future__ import annotations

from unittest.mock import Mock

from hypothesis import given
from hypothesis import strategies as st

from chat_functions.rows import Row
from chat_functions.writes import MIXED_BYTES, PARTITIONS, ROWS, _pack
from pulsar_data.model import RoomId

rows = st.builds(
    lambda room, partition, size: Row(RoomId(f"room {room}"), ("t", partition), Mock(values=[bytes(size), object()])),
    st.integers(1, 3), st.integers(1, 6), st.integers(0, MIXED_BYTES * 2),
)  # fmt: skip


@given(st.lists(rows, max_size=300))
def test_every_row_is_packed_once_within_the_limits(rows: list[Row]) -> None:
    """In order; few partitions; few bytes, where there is more than one partition."""
    packs = list(_pack(rows))
    assert [row for pack in packs for row in pack] == rows
    for pack in packs:
        partitions = {(row.room, row.partition) for row in pack}
        assert 1 <= len(pack) <= ROWS
        assert len(partitions) <= PARTITIONS
        assert len(partitions) == 1 or sum(row.size for row in pack) <= MIXED_BYTES

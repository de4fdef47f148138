"""Our encoding of values is the driver's."""

from __future__ import annotations

import uuid

from cassandra.cqltypes import Int32Type, ListType, LongType, UUIDType
from hypothesis import given
from hypothesis import strategies as st

from chat_functions.encoding import as_bigint, as_int, as_uuid, as_uuids

PROTOCOL = 5


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1), st.lists(st.uuids(), max_size=5))
def test_values_are_encoded_as_the_driver_does(big: int, small: int, ids: list[uuid.UUID]) -> None:
    """uuid, bigint, int, list<uuid>."""
    assert as_bigint(big) == LongType.serialize(big, PROTOCOL)
    assert as_int(small) == Int32Type.serialize(small, PROTOCOL)
    assert [as_uuid(str(one)) for one in ids] == [UUIDType.serialize(one, PROTOCOL) for one in ids]
    many = ListType.apply_parameters([UUIDType])
    assert as_uuids([str(one) for one in ids]) == many.serialize(ids, PROTOCOL)

"""When a client is told to refresh its token."""

from __future__ import annotations

import pytest

from pulsar_data.model import UserId
from socket_gateway.opening import LONGEST, ttl
from socket_gateway.tokens import Identity

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("expires", "expected"),
    [(900, 870), (31, 1), (30, 1), (-5, 1), (10**9, LONGEST), (253_402_300_799, LONGEST)],
    ids=["usual", "soon", "now", "over", "in-decades", "in-the-year-9999"],
)
def test_a_client_refreshes_before_its_token_ends_and_within_what_it_can_count(expires: int, expected: int) -> None:
    """Milliseconds in 32 bits, as JavaScript's and Java's timers do; Protobuf has 32 bits for the seconds."""
    assert ttl(Identity(UserId("ada"), "session", 1, int(NOW) + expires), NOW) == expected
    assert expected * 1000 < 2**31

"""What is dear to answer is dear to ask."""

from __future__ import annotations

import pytest

from pulsar_data.errors import ErrorCode
from socket_gateway.prices import LARGE, price
from socket_gateway.protocol import Command, HistoryRequest, PingRequest, Refused, RpcRequest


@pytest.mark.parametrize(
    ("command", "drops"),
    [
        (Command(1, PingRequest()), 1),
        (Refused(1, ErrorCode.BAD_REQUEST), 1),
        (Command(1, RpcRequest(method="message.send", data={"text": "hello"})), 1),
        (Command(1, RpcRequest(method="message.search", data={})), 8),
        (Command(1, RpcRequest(method="room.list")), 9),
        (Command(1, RpcRequest(method="room.list", data={"limit": 20})), 1),
        (Command(1, RpcRequest(method="room.list", data={"limit": 100})), 5),
        (Command(1, RpcRequest(method="room.list", data={"limit": -5})), 9),
        (Command(1, RpcRequest(method="room.list", data={"limit": "all"})), 9),
        (Command(1, RpcRequest(method="room.create", data={"members": ["ada"]})), 1),
        (Command(1, RpcRequest(method="room.create", data={"members": ["ada"] * 1000})), 51),
        (Command(1, RpcRequest(method="room.create", data={"members": 1000})), 1),
        (Command(1, HistoryRequest(channel="room:x", limit=0)), 1),
        (Command(1, HistoryRequest(channel="room:x", limit=100)), 1),
        (Command(1, HistoryRequest(channel="room:x", limit=1000)), 9),
        (Command(1, HistoryRequest(channel="room:x", limit=-1)), 9),
    ],
)
def test_a_command_counts_for_what_it_costs(command: Command | Refused, drops: int) -> None:
    """Whatever is asked for; what is no limit is the largest one."""
    assert price(command, 100) == drops
    assert price(command, 3 * LARGE) == drops + 3

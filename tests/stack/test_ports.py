"""The ports of a stack."""

from __future__ import annotations

import os
import socket

import pytest

from chattifier.errors import PortBusy
from chattifier.ports import Ports, check_free

PARTS = ("redis", "cassandra", "pulsar", "auth", "gateway-1", "gateway-2", "web", "edge")


def test_with_a_base_every_listener_gets_a_port_of_its_own_from_the_base_on() -> None:
    ports = Ports.plan(20_000, gateways=2)
    listeners = [port for part in PARTS for port in ports.of(part).values()]
    assert len(set(listeners)) == len(listeners) == 11
    assert min(listeners) == 20_000
    assert max(listeners) < 20_016


def test_more_gateways_move_no_other_port() -> None:
    two, five = Ports.plan(20_000, 2), Ports.plan(20_000, 5)
    assert five.gateways[:2] == two.gateways
    assert five.model_copy(update={"gateways": two.gateways}) == two


def test_a_busy_port_is_named_with_the_part_that_wants_it_and_the_process_that_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortBusy, match=rf"Port {port}, wanted by redis, is in use by .*\(pid {os.getpid()}\)"):
            check_free({"redis": port})


def test_a_free_port_is_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    check_free({"redis": port})
    with pytest.raises(OSError, match="refused"):  # and it is not held afterwards
        socket.create_connection(("127.0.0.1", port), timeout=1)

"""Floods: who makes one is refused, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .alone import Alone, alone

FLOOD, OTHER = "203.0.113.1", "203.0.113.2"
"""Two addresses."""
SERVED, REFUSED = 200, 429


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Alone]:
    """One that has seen nobody yet."""
    with alone(tmp_path) as one:
        yield one


def test_a_flood_of_handshakes_leaves_everybody_else_theirs(edge: Alone) -> None:
    """One address gets what one may, however often it asks: it is not the others' that it uses up."""
    flood = edge.flood("GET", "/connection/websocket", [FLOOD] * 4000)
    assert 500 <= flood.passed(SERVED) <= 500 + 50 * (flood.seconds + 1)
    others = [edge.ask("GET", "/connection/websocket", OTHER).status for _ in range(20)]
    assert others == [SERVED] * 20


def test_a_company_behind_one_address_comes_back_at_once(edge: Alone) -> None:
    """More than the tests' crowds, whose edge is killed."""
    assert edge.flood("GET", "/connection/websocket", [FLOOD] * 500).passed(SERVED) == 500


def test_a_flood_of_calls_leaves_everybody_else_theirs(edge: Alone) -> None:
    """Whatever it writes for a token: only the gateways know which are good."""
    flood = edge.flood("POST", "/api/rpc", [FLOOD] * 4000, Authorization="Bearer none")
    assert 800 <= flood.passed(SERVED) <= 800 + 400 * (flood.seconds + 1)
    assert edge.ask("POST", "/api/rpc", OTHER, Authorization="Bearer some").status == SERVED


def test_a_flood_of_calls_without_a_token_reaches_nobody_and_uses_up_nothing(edge: Alone) -> None:
    """401 at the edge, then 429. Whoever has a token is served at the same address."""
    flood = edge.flood("POST", "/api/rpc", [FLOOD] * 4000)
    assert flood.passed(401) <= 800 + 400 * (flood.seconds + 1)
    assert edge.ask("POST", "/api/rpc", OTHER).status == 401
    assert edge.ask("POST", "/api/rpc", FLOOD, authorization="bearer some").status == SERVED


def test_all_addresses_of_one_ipv6_network_are_one(edge: Alone) -> None:
    """Whoever has one has a /64, as for user-auth. Two networks are two, and so are two IPv4 neighbours."""
    one = edge.flood("GET", "/user/me", [f"2001:db8:1:2:{host:x}::1" for host in range(600)])
    assert 200 <= one.passed(401) <= 200 + 50 * (one.seconds + 1)
    many = edge.flood("GET", "/user/me", [f"2001:db8:2:{network:x}::1" for network in range(300)])
    assert many.passed(401) == 300
    neighbours = edge.flood("GET", "/user/me", [f"198.51.{host // 100}.{host % 100}" for host in range(300)])
    assert neighbours.passed(401) == 300


def test_one_that_has_no_memory_left_says_so(tmp_path: Path) -> None:
    """In its way: 503, as a problem. A socket is tried again then, elsewhere."""
    with alone(tmp_path, heap=1024 * 1024) as edge:
        for path in ("/healthz", "/user/me", "/connection/websocket"):
            refused = edge.ask("GET", path, OTHER)
            assert refused.status == 503
            assert json.loads(refused.body)["code"] == "temporarily_unavailable"

"""What must be true of the edge's configuration, whatever is behind it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

EDGE = Path(__file__).parents[2] / "k8s" / "edge"
HEALTH, WEB = "/healthz", "/"
"""Routes without limits: the one costs nothing, the other is files."""
SOCKET, REQUEST = 25 * 1024, 44 * 1024
"""Bytes of a socket of which nothing is unsent, and of a request whose body is nearly there: see deployment.yaml."""
_BYTES = {"Mi": 1024**2, "Gi": 1024**3}


def _routes() -> list[dict[str, Any]]:
    """Of what strangers ask. The other host is the token filter's own."""
    config = yaml.safe_load((EDGE / "envoy.yaml").read_text())["resources"][0]["typed_config"]
    (edge,) = (host for host in config["route_config"]["virtual_hosts"] if host["domains"] == ["*"])
    routes: list[dict[str, Any]] = edge["routes"]
    return routes


def _name(route: dict[str, Any]) -> str:
    (path,) = (value for kind, value in route["match"].items() if kind.startswith("pa") or kind == "prefix")
    return f"{path} {'' if 'headers' in route['match'] else '*'}".strip()


ROUTES = {_name(route): route for route in _routes()}
LIMITED = [name for name in ROUTES if name.removesuffix(" *") not in (HEALTH, WEB)]


def test_every_route_is_told_from_the_others() -> None:
    assert len(ROUTES) == len(_routes())
    assert len(LIMITED) == len(ROUTES) - 2


@pytest.mark.parametrize("name", LIMITED)
def test_a_route_counts_each_address_and_all_together(name: str) -> None:
    """An IPv4 address, an IPv6 network of 64 bits. No one address gets all that there is."""
    limits = ROUTES[name]["typed_per_filter_config"]["limits"]
    (limit,) = limits["rate_limits"]
    assert limit == {"actions": [{"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}]}
    (of_address,) = limits["descriptors"]
    assert of_address["entries"] == [{"key": "masked_remote_address"}]  # another key would match nobody
    one, all_of_them = of_address["token_bucket"], limits["token_bucket"]
    assert 2 * one["max_tokens"] <= all_of_them["max_tokens"]
    assert 2 * _rate(one) <= _rate(all_of_them)
    for switch in ("filter_enabled", "filter_enforced"):
        assert limits[switch]["default_value"] == {"numerator": 100}
    assert limits.get("always_consume_default_token_bucket", True), "it is a cap for all together"


def _rate(bucket: dict[str, Any]) -> float:
    """Tokens a second."""
    return float(bucket["tokens_per_fill"]) / float(bucket["fill_interval"].removesuffix("s"))


def test_only_what_gateways_serve_leads_to_them() -> None:
    """One path for sockets, one for calls: nothing that they may serve besides is public by a prefix."""
    matches = [route["match"] for route in ROUTES.values() if route.get("route", {}).get("cluster") == "gateways"]
    assert sorted(match["path"] for match in matches) == ["/api/rpc", "/connection/websocket"]


def test_no_call_is_kept_until_its_body_is_there() -> None:
    """A gateway refuses it by its token, before that: thousands of bodies of strangers are the whole memory."""
    (call, refusal) = (route for name, route in ROUTES.items() if name.startswith("/api/rpc"))
    for route in (call, refusal):
        assert route["typed_per_filter_config"].keys() == {"limits"}
    assert "direct_response" in refusal


def test_memory_is_refused_before_the_container_has_none() -> None:
    """All sockets that are let in fit below that; were all of them requests, they would fit into the container."""
    places = yaml.safe_load((EDGE / "places.yaml").read_text())["overload_manager"]
    monitors = {monitor["name"]: monitor["typed_config"] for monitor in places["resource_monitors"]}
    heap: int = monitors["envoy.resource_monitors.fixed_heap"]["max_heap_size_bytes"]
    sockets = monitors["envoy.resource_monitors.global_downstream_max_connections"]["max_active_downstream_connections"]
    (action,) = places["actions"]
    assert action["name"] == "envoy.overload_actions.stop_accepting_requests"
    (trigger,) = action["triggers"]
    assert trigger["name"] == "envoy.resource_monitors.fixed_heap"
    full = heap * trigger["threshold"]["value"]
    assert sockets * SOCKET < full < heap
    assert max(heap, sockets * REQUEST) + 100 * 1024**2 <= _container_memory()


def test_being_full_is_no_reason_to_be_killed() -> None:
    """It answers 503 then: a probe by HTTP would have a kubelet cut all the sockets that it has."""
    assert "tcpSocket" in _container()["livenessProbe"]
    assert "httpGet" in _container()["readinessProbe"]


def _container() -> dict[str, Any]:
    deployment = yaml.safe_load((EDGE / "deployment.yaml").read_text())
    container: dict[str, Any]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


def _container_memory() -> int:
    amount = re.fullmatch(r"(\d+)(Mi|Gi)", _container()["resources"]["limits"]["memory"])
    assert amount is not None
    return int(amount[1]) * _BYTES[amount[2]]

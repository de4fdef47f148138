"""The edge's configuration: the cluster's is the local one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from chattifier.parts.edge import local_places, sources
from chattifier.ports import Ports
from tests.running_stack import Stack

PORTS = Ports.plan(20_000, gateways=3)


def _clusters(places: Any) -> dict[str, Any]:
    return {cluster["name"]: cluster for cluster in places["static_resources"]["clusters"]}


def test_locally_only_addresses_differ_and_the_web_client_is_added() -> None:
    places = yaml.safe_load((sources() / "places.yaml").read_text())
    here = local_places(places, PORTS)
    assert _clusters(here).keys() - _clusters(places).keys() == {"web"}
    for name, cluster in _clusters(places).items():
        differ = {key for key in cluster if cluster[key] != _clusters(here)[name][key]}
        assert differ == (set() if name == "keys" else {"load_assignment"}), name
    (edge, keys), (there, same) = here["static_resources"]["listeners"], places["static_resources"]["listeners"]
    assert keys == same
    assert {**edge, "address": there["address"]} == there
    assert {key: value for key, value in here.items() if places[key] != value}.keys() == {"static_resources"}


def test_every_gateway_is_behind_it() -> None:
    places = local_places(yaml.safe_load((sources() / "places.yaml").read_text()), PORTS)
    (locality,) = _clusters(places)["gateways"]["load_assignment"]["endpoints"]
    ports = [one["endpoint"]["address"]["socket_address"]["port_value"] for one in locality["lb_endpoints"]]
    assert tuple(ports) == PORTS.gateways


def test_what_the_edge_does_is_one_file_for_both(stack: Stack) -> None:
    assert (stack.data / "edge" / "config" / "envoy.yaml").resolve() == sources() / "envoy.yaml"
    assert (Path(__file__).parents[2] / "k8s" / "edge") == sources()

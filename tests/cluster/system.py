"""The system on the cluster: brought up, waited for, found."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chattifier.status import CassandraPlace
from tests.cluster.kubernetes import await_true, forwarded, function_pods, kubectl, node_address, node_port, objects

TOP, EVALUATION, PRODUCTION = "k8s/", "k8s/overlays/evaluation", "k8s/overlays/production"
READY_WITHIN = 600.0
"""Generous: two cores start a Pulsar, a Cassandra and a dozen Python processes at once."""
ASLEEP_WITHIN = 180.0
"""Knative's defaults: a minute without a request, half a minute of grace, and what a busy machine takes."""
GRACE = "scale-to-zero-grace-period"


@dataclass(frozen=True)
class Edge:
    """Our one public port."""

    address: str

    @property
    def auth(self) -> str:
        """Where people sign up."""
        return f"http://{self.address}"

    @property
    def gateways(self) -> tuple[str, ...]:
        """Where sockets go: one address, the edge chooses."""
        return (f"ws://{self.address}/connection/websocket",)


def edge() -> Edge:
    """The edge, by the port of a node: it has no load balancer here."""
    return Edge(f"{node_address()}:{node_port('edge')}")


def apply(folder: str = TOP) -> list[str]:
    """kubectl apply; its lines, one an object."""
    return kubectl("apply", "--kustomize", folder).splitlines()


def unready() -> list[str]:
    """What is not ready yet, or not done."""
    waiting = [
        f"{one['kind']} {one['metadata']['name']}"
        for one in objects("deployments", "statefulsets")
        if one["status"].get("readyReplicas", 0) < one["spec"]["replicas"]
        or one["status"].get("updatedReplicas", 0) < one["spec"]["replicas"]
        or one["status"].get("observedGeneration") != one["metadata"]["generation"]
    ]
    waiting += [f"Job {one['metadata']['name']}" for one in objects("jobs") if not one["status"].get("succeeded")]
    for service in objects("services.serving.knative.dev"):
        conditions = {one["type"]: one["status"] for one in service.get("status", {}).get("conditions", ())}
        current = service.get("status", {}).get("observedGeneration") == service["metadata"]["generation"]
        if not current or conditions.get("Ready") != "True":
            waiting.append(f"Function {service['metadata']['name']}")
    return waiting


def await_ready(within: float = READY_WITHIN) -> float:
    """Wait until all is ready and done. Seconds that it took, and progress on standard output."""
    start, said = time.monotonic(), [""]

    def ready() -> bool:
        waiting = unready()
        if waiting != said:
            said[:] = waiting
            print(f"{time.monotonic() - start:4.0f} s: waiting for {', '.join(waiting) or 'nothing'}", flush=True)
        return not waiting

    return await_true("everything is ready", ready, within)


def await_asleep(service: str = "user-auth", within: float = ASLEEP_WITHIN) -> float:
    """Wait until a function has no pod. Seconds that it took."""
    return await_true(f"{service} sleeps", lambda: not function_pods(service), within)


def settle_for_tests() -> None:
    """Let everybody sign up from this one address, and a function sleep as soon as Knative can: a new revision."""
    set_grace("6s")
    patch = [
        {
            "op": "add",
            "path": "/spec/template/spec/containers/0/env/-",
            "value": {"name": "CHATTIFIER_AUTH_LIMITS", "value": "off"},
        },
        {"op": "add", "path": "/spec/template/metadata/annotations/autoscaling.knative.dev~1window", "value": "6s"},
    ]
    kubectl("patch", "services.serving.knative.dev", "user-auth", "--type=json", f"--patch={json.dumps(patch)}")
    await_ready()


def set_grace(period: str | None) -> None:
    """How long Knative keeps the last pod of a function in any case; None: its default, 30 s."""
    patch = json.dumps({"data": {GRACE: period}})
    kubectl(
        "patch", "configmap", "config-autoscaler", "--namespace=knative-serving", "--type=merge", f"--patch={patch}"
    )


@contextmanager
def cassandra() -> Iterator[CassandraPlace]:
    """Cassandra, by a port of this machine."""
    with forwarded("pod/cassandra-0", 9042) as port:
        yield CassandraPlace(host="127.0.0.1", port=port, keyspace="chat")

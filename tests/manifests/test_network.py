"""Who reaches what inside a cluster: all network policies, as one table. A door opened by mistake is a row more."""

from __future__ import annotations

from typing import Any

from tests.manifests.test_manifests import DOCUMENTS

INGRESS = {
    # whose pods, and by which port: from where
    ("k8s/base", "*", "-"): {"nobody"},
    ("k8s/base", "edge", "http"): {"anywhere"},
    ("k8s/base", "gateway", "http"): {"edge"},
    ("k8s/base", "user-auth", "all"): {"any pod of knative-serving, kourier-system"},
    ("k8s/monitoring", "gateway", "http"): {"prometheus of monitoring"},
    ("k8s/monitoring", "user-auth", "user-port"): {"prometheus of monitoring"},
    ("k8s/monitoring", "pulsar", "http"): {"prometheus of monitoring"},
    ("k8s/overlays/evaluation", "pulsar", "pulsar"): {
        "gateway", "user-auth", "pulsar", "config-follower", "functions-set-up", "operator",
    },
    ("k8s/overlays/evaluation", "pulsar", "http"): {"functions-set-up", "operator"},
    ("k8s/overlays/evaluation", "redis", "redis"): {"gateway", "user-auth", "pulsar", "operator"},
    ("k8s/overlays/evaluation", "cassandra", "cql"): {"pulsar", "user-auth", "schema", "operator"},
}  # fmt: skip
EGRESS = {
    ("*", "-"): {"nowhere"},
    ("*", "53"): {"anywhere"},
    ("edge", "http"): {"gateway"},
    ("edge", "all"): {"any pod of kourier-system"},
    **{("gateway", port): {"anywhere"} for port in ("6651", "6379", "443", "4318")},
    **{("user-auth", port): {"anywhere"} for port in ("6651", "6379", "9042", "4318")},
    **{
        ("config-follower, functions-set-up, keys, operator, schema", port): {"anywhere"}
        for port in ("6651", "8443", "9042", "6379", "443", "22", "6443")
    },
}
"""In production. What is not ours is named there by address: nobody but its operator knows it."""
POLICIES = [(path, document) for path, document in DOCUMENTS if document["kind"] == "NetworkPolicy"]


def _labels(selector: dict[str, Any]) -> str:
    """The name or names that a selector chooses; `*` for all."""
    known = {"app.kubernetes.io/name", "serving.knative.dev/service", "kubernetes.io/metadata.name"}
    labels = selector.get("matchLabels", {})
    wanted = list(labels.values())
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In"
        labels = {**labels, expression["key"]: ""}
        wanted += expression["values"]
    assert labels.keys() <= known, f"{labels.keys() - known}: nothing of ours has such a label"
    return ", ".join(sorted(wanted)) or "*"


def _peer(peer: dict[str, Any]) -> str:
    assert peer.keys() <= {"podSelector", "namespaceSelector"}
    pods = _labels(peer["podSelector"]) if "podSelector" in peer else "any pod"
    return f"{pods} of {_labels(peer['namespaceSelector'])}" if "namespaceSelector" in peer else pods


def _table(direction: str, side: str) -> dict[tuple[str, str, str], set[str]]:
    table: dict[tuple[str, str, str], set[str]] = {}
    for path, policy in POLICIES:
        spec = policy["spec"]
        if direction not in spec.get("policyTypes", ["Ingress"]):
            continue
        folder, whose = path.rpartition("/")[0], _labels(spec["podSelector"])
        rules = spec.get(direction.lower(), [])
        if not rules:
            table.setdefault((folder, whose, "-"), set()).add("nobody" if direction == "Ingress" else "nowhere")
        for rule in rules:
            peers = {_peer(peer) for peer in rule[side]} if rule.get(side) else {"anywhere"}
            for port in {str(port["port"]) for port in rule.get("ports", ())} or {"all"}:
                table.setdefault((folder, whose, port), set()).update(peers)
    return table


def test_what_comes_in_is_what_the_table_says() -> None:
    """And whatever is not in it does not, since the first row is every pod's."""
    assert _table("Ingress", "from") == INGRESS


def test_what_goes_out_in_production_is_what_the_table_says() -> None:
    found = {(whose, port): peers for (folder, whose, port), peers in _table("Egress", "to").items()}
    assert found == EGRESS
    assert {folder for folder, _, _ in _table("Egress", "to")} == {"k8s/overlays/production"}

"""What must be true of every manifest, whatever cluster it is for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ENVOY = ("envoy.yaml", "places.yaml")
SETTINGS = ROOT / "k8s" / "config"


def _documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in ("k8s", "knative"):
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            if path.name not in ENVOY and path.parent != SETTINGS:
                for text in re.split(r"^---$", path.read_text(), flags=re.MULTILINE):
                    yield path.relative_to(ROOT).as_posix(), yaml.safe_load(text)


DOCUMENTS = list(_documents())
PODS = [
    pytest.param(document["spec"]["template"]["spec"], id=f"{document['kind']}-{document['metadata']['name']}")
    for _, document in DOCUMENTS
    if "template" in document.get("spec", {})
]


def test_there_are_pods_to_judge() -> None:
    assert len(PODS) >= 3


@pytest.mark.parametrize("pod", PODS)
def test_every_container_is_harmless_and_bounded(pod: dict[str, Any]) -> None:
    """Non-root, read-only, without privileges or the apiserver's token; with requests, a memory limit, and probes."""
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        security = {**pod.get("securityContext", {}), **container["securityContext"]}
        assert security["runAsNonRoot"] is True
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert {"startupProbe", "readinessProbe"} <= container.keys()


@pytest.mark.parametrize("pod", PODS)
def test_every_mount_has_its_volume(pod: dict[str, Any]) -> None:
    volumes = {volume["name"] for volume in pod.get("volumes", ())}
    mounts = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", ())}
    assert mounts == volumes


def test_no_secret_is_in_the_repository() -> None:
    assert [place for place, document in DOCUMENTS if document["kind"] == "Secret"] == []
    assert [place for place, document in DOCUMENTS if "secretGenerator" in document] == []


def test_the_base_renders_and_everything_in_it_is_in_one_namespace() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: the manifests are not rendered")
    rendered = _rendered(kubectl, ROOT / "k8s" / "base")
    assert {one["metadata"].get("namespace") for one in rendered if one["kind"] != "Namespace"} == {"chattifier"}
    (edge,) = (one["data"] for one in rendered if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "edge")
    assert edge == {name: (ROOT / "k8s" / "edge" / name).read_text() for name in ENVOY}


def test_monitoring_renders_as_a_component_of_an_overlay(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: the manifests are not rendered")
    monitoring = os.path.relpath(ROOT / "k8s" / "monitoring", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"namespace: chattifier\ncomponents: [{monitoring}]\n")
    rendered = _rendered(kubectl, tmp_path)
    assert {one["metadata"].get("namespace") for one in rendered} == {"chattifier"}
    kinds = {one["kind"] for one in rendered}
    assert kinds == {"PodMonitor", "PrometheusRule", "NetworkPolicy", "ConfigMap"}
    (board,) = (one for one in rendered if one["kind"] == "ConfigMap")
    assert board["metadata"]["labels"] == {"grafana_dashboard": "1"}
    assert board["data"]["chattifier.json"] == (ROOT / "k8s" / "monitoring" / "dashboard.json").read_text()


def _rendered(kubectl: str, folder: Path) -> list[dict[str, Any]]:
    command = [kubectl, "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [yaml.safe_load(text) for text in re.split(r"^---$", done.stdout, flags=re.MULTILINE)]

"""What must be true of every manifest, whatever cluster it is for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from chattifier.parts.pulsar import BROKER_SETTINGS, WORKER_SETTINGS

ROOT = Path(__file__).parents[2]
ENVOY = ("envoy.yaml", "places.yaml")
OVERLAYS = ("evaluation", "production")


def _documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in ("k8s", "knative"):
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            if path.name not in ENVOY and path.parent.name != "config":
                for text in re.split(r"^---$", path.read_text(), flags=re.MULTILINE):
                    yield path.relative_to(ROOT).as_posix(), yaml.safe_load(text)


DOCUMENTS = list(_documents())


def _workloads() -> Iterator[Any]:
    """Whatever starts pods, with the pod's `template` in `spec`."""
    for _, document in DOCUMENTS:
        spec = document.get("spec", {})
        if {"template", "jobTemplate"} & spec.keys():
            name = f"{document['kind']}-{document['metadata']['name']}"
            yield pytest.param({**document, **spec.get("jobTemplate", {})}, id=name)


WORKLOADS = list(_workloads())


def test_there_are_pods_to_judge() -> None:
    assert len(WORKLOADS) >= 10


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_container_is_harmless_and_bounded(workload: dict[str, Any]) -> None:
    """Non-root, read-only, without privileges or the apiserver's token; with requests, a memory limit, and probes."""
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    for container in _containers(pod):
        security = {**pod.get("securityContext", {}), **container["securityContext"]}
        assert security["runAsNonRoot"] is True
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        if not workload["kind"].endswith("Job") and container in pod["containers"]:  # nobody waits for what ends
            assert "readinessProbe" in container
            # Knative's proxy asks until it is there, and again sooner than a kubelet does.
            assert ("startupProbe" in container) == ("serving.knative.dev" not in workload["apiVersion"])


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_mount_has_its_volume(workload: dict[str, Any]) -> None:
    spec = workload["spec"]
    pod = spec["template"]["spec"]
    volumes = {volume["name"] for volume in pod.get("volumes", ())}
    claims = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())}
    mounts = {mount["name"] for container in _containers(pod) for mount in container.get("volumeMounts", ())}
    assert mounts == volumes | claims


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def test_jobs_have_the_version_in_their_names() -> None:
    """A Job cannot be changed: a new version needs new ones."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    names = [document["metadata"]["name"] for _, document in DOCUMENTS if document["kind"] == "Job"]
    assert names
    assert [name for name in names if not name.endswith(f"-{version.replace('.', '-')}")] == []


def test_every_image_of_ours_has_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = [image for _, document in DOCUMENTS for image in document.get("images", ())]
    assert {image["newTag"] for image in images} == {version}
    assert {image["name"].rpartition("/")[2] for image in images} == {"gateway", "auth", "tools", "functions"}


def test_the_evaluation_pulsar_is_set_as_the_local_one() -> None:
    """Of what `chattifier up` sets only where it listens is its own."""
    config = ROOT / "k8s" / "overlays" / "evaluation" / "config"
    lines = [line for line in (config / "standalone.conf").read_text().splitlines() if not line.startswith("#")]
    wanted = {name: value for name, value in BROKER_SETTINGS.items() if name != "bindAddress"}
    assert dict(line.split("=") for line in lines) == wanted
    worker = yaml.safe_load((config / "functions_worker.yml").read_text())
    assert {name: str(value) for name, value in worker.items()} == WORKER_SETTINGS


def test_the_evaluation_cassandra_is_set_as_the_local_one() -> None:
    local = yaml.safe_load(files("chattifier.parts").joinpath("cassandra.yaml").read_text())
    ours = yaml.safe_load((ROOT / "k8s" / "overlays" / "evaluation" / "config" / "cassandra.yaml").read_text())
    own = {"seed_provider", "auto_snapshot", "listen_address", "storage_port", "native_transport_port"}
    differing = {name for name in local.keys() | ours.keys() if local.get(name) != ours.get(name)}
    assert {name for name in differing if not name.endswith(("_directory", "_directories"))} == own | {
        "rpc_address",
        "broadcast_rpc_address",
    }


def test_no_secret_is_in_the_repository() -> None:
    assert [place for place, document in DOCUMENTS if document["kind"] == "Secret"] == []
    assert [place for place, document in DOCUMENTS if "secretGenerator" in document] == []


def _rendered(folder: Path) -> list[dict[str, Any]]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: the manifests are not rendered")
    command = [kubectl, "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [yaml.safe_load(text) for text in re.split(r"^---$", done.stdout, flags=re.MULTILINE)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_renders_and_everything_in_it_is_in_one_namespace(overlay: str) -> None:
    rendered = _rendered(ROOT / "k8s" / "overlays" / overlay)
    assert {one["metadata"].get("namespace") for one in rendered} == {"chattifier"}
    (edge,) = (one["data"] for one in rendered if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "edge")
    assert edge == {name: (ROOT / "k8s" / "edge" / name).read_text() for name in ENVOY}


def test_monitoring_renders_as_a_component_of_an_overlay(tmp_path: Path) -> None:
    monitoring = os.path.relpath(ROOT / "k8s" / "monitoring", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"namespace: chattifier\ncomponents: [{monitoring}]\n")
    rendered = _rendered(tmp_path)
    assert {one["metadata"].get("namespace") for one in rendered} == {"chattifier"}
    kinds = {one["kind"] for one in rendered}
    assert kinds == {"PodMonitor", "PrometheusRule", "NetworkPolicy", "ConfigMap"}
    (board,) = (one for one in rendered if one["kind"] == "ConfigMap")
    assert board["metadata"]["labels"] == {"grafana_dashboard": "1"}
    assert board["data"]["chattifier.json"] == (ROOT / "k8s" / "monitoring" / "dashboard.json").read_text()


def test_the_follower_of_settings_renders_as_a_component_of_an_overlay(tmp_path: Path) -> None:
    follower = os.path.relpath(ROOT / "k8s" / "config-follower", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"namespace: chattifier\ncomponents: [{follower}]\n")
    (rendered,) = _rendered(tmp_path)
    (container,) = rendered["spec"]["template"]["spec"]["containers"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"ghcr.io/chattifier/tools:{version}"


def test_the_top_is_the_evaluation_and_its_namespace() -> None:
    top, evaluation = (_rendered(ROOT / "k8s" / folder) for folder in ("", "overlays/evaluation"))
    assert [one for one in top if one not in evaluation] == [yaml.safe_load((ROOT / "k8s/namespace.yaml").read_text())]

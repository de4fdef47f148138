"""Settings from a git repository, with the component k8s/config-follower: in force everywhere, without a restart."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from pulsar_data.errors import Disconnect, ErrorCode
from tests.clients.device import devices, group
from tests.clients.limits import IN_FORCE, ROOMS, Talk, closed_with
from tests.clients.people import Person, sign_up
from tests.clients.waiting import until
from tests.cluster import system
from tests.cluster.kubernetes import ROOT, await_true, forwarded, kubectl, objects, pods, rendered
from tests.cluster.system import Edge

pytestmark = pytest.mark.anyio
FOLDER = "/tmp/settings"
PLACE = f"{FOLDER}/k8s/config"
SERVER = "git-server"


class Repository:
    """A repository that a pod of the cluster serves, by git's own protocol."""

    def __init__(self) -> None:
        self._run(f"git init --quiet --initial-branch=main {FOLDER} && mkdir -p {PLACE}")

    def commit(self, **files: str) -> str:
        """Commit files of groups; returns the commit."""
        write = "".join(f"echo {shlex.quote(text)} >{PLACE}/{name}.yaml\n" for name, text in files.items())
        commit = "git -c user.name=Ada -c user.email=ada@example.org commit --quiet --message=settings"
        return self._run(f"{write}cd {FOLDER}\ngit add --all\n{commit}\ngit rev-parse HEAD").strip()

    def _run(self, script: str) -> str:
        return kubectl("exec", SERVER, "--", "sh", "-ec", script)


@pytest.fixture
def repository(edge: Edge, tmp_path: Path) -> Iterator[Repository]:
    """An empty repository that is followed; afterwards all settings are as everybody was started."""
    (job, *_) = (one for one in objects("jobs") if one["metadata"]["name"].startswith("schema-"))
    server = _git_server(job["spec"]["template"]["spec"]["containers"][0]["image"])
    kubectl("apply", "--filename=-", given=json.dumps(server))
    kubectl("wait", f"pod/{SERVER}", "--for=condition=Ready", "--timeout=120s")
    repository = Repository()
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(_overlay(tmp_path)))
    kubectl("apply", "--filename=-", given=_without_user_auth(rendered(str(tmp_path))))
    try:
        yield repository
        last = repository.commit(limits="# as started", gateway="# as started")
        await_true("the defaults are in force", lambda: _said("config_in_force", last) is not None, IN_FORCE)
    finally:
        kubectl("delete", "deployment/config-follower", f"pod/{SERVER}", f"service/{SERVER}", "--grace-period=5")
        forgotten = [{"op": "remove", "path": "/data/CHATTIFIER_CONFIG_GIT_URL"}]
        kubectl("patch", "configmap", "chattifier", "--type=json", f"--patch={json.dumps(forgotten)}")


def _without_user_auth(manifests: str) -> str:
    """It is set for tests, which to apply it would undo."""
    kept = [text for text in manifests.split("\n---\n") if "apiVersion: serving.knative.dev" not in text]
    return "\n---\n".join(kept)


def _git_server(image: str) -> dict[str, Any]:
    """A pod and its address."""
    labels = {"app.kubernetes.io/name": SERVER}
    command = ["git", "daemon", "--export-all", "--base-path=/tmp", "--reuseaddr"]
    container = {
        "name": "git",
        "image": image,
        "command": command,
        "readinessProbe": {"tcpSocket": {"port": 9418}, "periodSeconds": 1},
        "securityContext": {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {"metadata": {"name": SERVER, "labels": labels}, "spec": {"containers": [container]}}
    service = {"metadata": {"name": SERVER}, "spec": {"selector": labels, "ports": [{"port": 9418}]}}
    kinds = ({"apiVersion": "v1", "kind": "Pod", **pod}, {"apiVersion": "v1", "kind": "Service", **service})
    return {"apiVersion": "v1", "kind": "List", "items": list(kinds)}


def _overlay(folder: Path) -> dict[str, Any]:
    """The evaluation with the component, as docs/settings.md shows it."""
    url = f"CHATTIFIER_CONFIG_GIT_URL=git://{SERVER}/settings"
    return {
        "namespace": "chattifier",
        "resources": [os.path.relpath(ROOT / system.EVALUATION, folder)],
        "components": [os.path.relpath(ROOT / "k8s" / "config-follower", folder)],
        "configMapGenerator": [{"name": "chattifier", "behavior": "merge", "literals": [url]}],
        "generatorOptions": {"disableNameSuffixHash": True},
    }


def _said(event: str, commit: str) -> dict[str, Any] | None:
    """What the follower has logged of that of a commit."""
    logged = kubectl("logs", "deployment/config-follower").splitlines()
    lines: list[dict[str, Any]] = [json.loads(line) for line in logged if line.startswith("{")]
    return next((line for line in lines if (line["event"], line.get("commit")) == (event, commit)), None)


async def test_a_commit_is_in_force_on_all_gateways_and_functions_within_ten_seconds_and_a_broken_one_is_not(
    edge: Edge, repository: Repository
) -> None:
    """With two gateways and two instances of chat-router, of which none is started anew."""
    ada, grace = await sign_up(edge.auth, 2)
    pods_before = _pods()
    with _gateways() as (first, second):
        async with devices((ada, first), (grace, second)) as (one, two):
            talk = Talk(one, two, [await group(one, two) for _ in range(ROOMS)])
            await asyncio.to_thread(repository.commit, limits="text_limit: 300")
            await talk.until_all(301, ErrorCode.LIMIT_EXCEEDED, within=90)  # the follower is just starting
            began = time.monotonic()
            await asyncio.to_thread(repository.commit, limits="text_limit: 50", gateway="user_connections: 1")
            committed = time.monotonic()
            await asyncio.gather(
                talk.until_all(51, ErrorCode.LIMIT_EXCEEDED),
                _until_the_only_one(first, ada),
                _until_the_only_one(second, grace),
            )
            took = time.monotonic() - committed
            print(f"in force everywhere {took:.1f} s after a commit that took {committed - began:.1f} s")
            broken = await asyncio.to_thread(repository.commit, limits="text_limit: 0", gateway="user_connections: 9")
            refused = await _until_said("config_refused", broken)
            assert refused["file"] == "k8s/config/limits.yaml"
            assert refused["reason"] == "limits.text_limit is 0: it must be a whole number from 1 to 20000"
            assert await talk.say(51) == {ErrorCode.LIMIT_EXCEEDED}
            assert await talk.say(50) == {0}
            assert await closed_with(first, ada, Disconnect.CONNECTION_LIMIT.code)
    assert _pods() == pods_before


@contextmanager
def _gateways() -> Iterator[tuple[str, str]]:
    """Each of both by an address of its own."""
    one, other = pods("gateway")
    with forwarded(f"pod/{one}", 8001) as first, forwarded(f"pod/{other}", 8001) as second:
        yield f"ws://127.0.0.1:{first}/connection/websocket", f"ws://127.0.0.1:{second}/connection/websocket"


async def _until_the_only_one(gateway: str, person: Person) -> None:
    refused = partial(closed_with, gateway, person, Disconnect.CONNECTION_LIMIT.code)
    await until("a second connection is refused", refused, IN_FORCE)


async def _until_said(event: str, commit: str) -> dict[str, Any]:
    async def said() -> bool:
        return await asyncio.to_thread(_said, event, commit) is not None

    await until(f"{event} of {commit}", said, IN_FORCE)
    line = _said(event, commit)
    assert line is not None
    return line


def _pods() -> dict[str, int]:
    """Those of gateways and functions, with how often their containers were started again."""
    found = objects("pods", selector="app.kubernetes.io/name in (gateway, pulsar)")
    return {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in found}

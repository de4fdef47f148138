"""The cluster of KUBECONFIG with our images in it, and the system on that.

What is there in the namespace `chattifier` is deleted: it must be a cluster for tests. So these run only where
CHATTIFIER_LOAD_IMAGE says how an image gets into it: a command that takes an image's name, such as
`kind load docker-image`. CHATTIFIER_SAVE_IMAGE writes one as an archive to its output; without it `docker save` does.
scripts/cluster-tests sets all of that.
"""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import tomllib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import system
from tests.cluster.kubernetes import ROOT, kubectl, trouble
from tests.cluster.system import Edge

OURS = ("gateway", "auth", "functions", "tools")
TAG = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
HELLO = "ghcr.io/chattifier/hello:test"
HERE = Path(__file__).parent
LAST = "deletes_everything"


def _missing() -> str | None:
    """Why these tests cannot run, if they cannot."""
    if not (os.environ.get("KUBECONFIG") and os.environ.get("CHATTIFIER_LOAD_IMAGE")):
        scripts = Path(os.environ.get("CHATTIFIER_CLUSTER") or ROOT.parent / "shared" / "cluster")
        how = (
            f"scripts/cluster-tests starts the one of {scripts.name}/"
            if (scripts / "up").exists()
            else "set KUBECONFIG and CHATTIFIER_LOAD_IMAGE, as docs/kubernetes.md says"
        )
        return f"no cluster: {how}"
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder; without a cluster they are skipped. What must find all as applied goes first, what
    deletes everything last.
    """
    missing = _missing()
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker("cluster")
        item.add_marker(pytest.mark.timeout(600, func_only=True))
        if missing is not None:
            item.add_marker(pytest.mark.skip(reason=missing))
    turns = iter(sorted(ours, key=_turn))
    items[:] = [next(turns) if item in ours else item for item in items]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """A failure tells what the cluster says of it: nothing of that is there any more when somebody reads it."""
    report = (yield).get_result()
    if report.failed and HERE in item.path.parents:
        report.sections.append(("what the cluster says", trouble()))


def _turn(item: pytest.Item) -> tuple[bool, bool, bool]:
    fixtures = getattr(item, "fixturenames", ())
    return item.get_closest_marker(LAST) is not None, "untouched" not in fixtures, "edge" in fixtures


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


@pytest.fixture
def chance() -> random.Random:
    """Random moments, others each time."""
    return random.Random()


@pytest.fixture(scope="session")
def images() -> None:
    """Our images are in the cluster."""
    load = shlex.split(os.environ["CHATTIFIER_LOAD_IMAGE"])
    for image in (*(f"ghcr.io/chattifier/{name}:{TAG}" for name in OURS), HELLO):
        subprocess.run([*load, image], check=True, capture_output=True, timeout=600)
        print(f"{image} is in the cluster", flush=True)


@pytest.fixture(scope="session")
def untouched(images: None) -> Edge:
    """The system as `kubectl apply -k k8s/` brings it up on a cluster that has nothing of it, all ready."""
    kubectl("delete", "namespace", "chattifier", "--ignore-not-found", "--wait", within=300)
    system.apply()
    print(f"ready after {system.await_ready():.0f} s")
    return system.edge()


@pytest.fixture(scope="session")
def edge(untouched: Edge) -> Iterator[Edge]:
    """The same, for many people from one address, and with a function that sleeps soon."""
    system.settle_for_tests()
    yield untouched
    system.set_grace(None)

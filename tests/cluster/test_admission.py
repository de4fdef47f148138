"""The apiserver and Knative's webhook take every manifest of both overlays, and would say what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.cluster.kubernetes import Refused, kubectl, rendered
from tests.cluster.system import EVALUATION, PRODUCTION

ELSEWHERE = "chattifier-admission"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """A namespace in which there is nothing, so that all is new."""
    kubectl("create", "namespace", ELSEWHERE)
    yield ELSEWHERE
    kubectl("delete", "namespace", ELSEWHERE, "--wait=false")


def _moved(folder: str) -> str:
    return re.sub(r"^(\s*)namespace: chattifier$", rf"\1namespace: {ELSEWHERE}", rendered(folder), flags=re.MULTILINE)


def _dry_run(manifests: str) -> list[str]:
    command = ("apply", "--dry-run=server", f"--namespace={ELSEWHERE}", "--filename=-")
    return kubectl(*command, given=manifests).splitlines()


@pytest.mark.parametrize("folder", [EVALUATION, PRODUCTION])
def test_every_manifest_is_admitted(elsewhere: str, folder: str) -> None:
    manifests = _moved(folder)
    lines = _dry_run(manifests)
    assert len(lines) == len(re.findall(r"^kind:", manifests, re.MULTILINE))
    assert [line for line in lines if not line.endswith(" created (server dry run)")] == []


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("containerConcurrency: 8", "containerConcurrency: -8", "containerConcurrency"),  # Knative's webhook
        ('autoscaling.knative.dev/min-scale: "0"', "autoscaling.knative.dev/min-scale: few", "min-scale"),
        ("clusterIP: None", "clusterIP: Nine", "clusterIP"),  # the apiserver's own
    ],
)
def test_a_broken_one_is_refused(elsewhere: str, right: str, wrong: str, says: str) -> None:
    manifests = _moved(EVALUATION)
    assert right in manifests
    with pytest.raises(Refused, match=says):
        _dry_run(manifests.replace(right, wrong))

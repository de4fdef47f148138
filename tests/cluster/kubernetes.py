"""kubectl, as tests use it: by its own program, on the cluster of KUBECONFIG."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAMESPACE = "chattifier"
ANSWERS_WITHIN = 300.0
Json = Mapping[str, Any]


class Refused(Exception):
    """kubectl ended with an error; what it said."""


def kubectl(*arguments: str, given: str | None = None, within: float = ANSWERS_WITHIN) -> str:
    """What it prints. Raises Refused."""
    command = ["kubectl", f"--namespace={NAMESPACE}", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=within, check=False, cwd=ROOT)
    if done.returncode != 0:
        raise Refused(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def rendered(folder: str) -> str:
    """The manifests of a folder of k8s/."""
    return kubectl("kustomize", folder)


def objects(*kinds: str, selector: str = "") -> Sequence[Json]:
    """All objects of some kinds in our namespace."""
    chosen = (f"--selector={selector}",) if selector else ()
    found: Sequence[Json] = json.loads(kubectl("get", ",".join(kinds), "--output=json", *chosen))["items"]
    return found


def pods(name: str) -> list[str]:
    """The pods of one of our parts that are not ending, by their name label."""
    found = objects("pods", selector=f"app.kubernetes.io/name={name}")
    return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]


def function_pods(service: str = "user-auth") -> list[Json]:
    """The pods of a Knative service that are not ending: those that do linger for half a minute, and get nothing."""
    found = objects("pods", selector=f"serving.knative.dev/service={service}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def await_true(what: str, condition: Callable[[], bool], within: float, every: float = 0.5) -> float:
    """Ask until it is true. Seconds that it took. Raises AssertionError that says what was waited for in vain."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > within:
            raise AssertionError(f"waited {within:.0f} s in vain: {what}\n{trouble()}")
        time.sleep(every)
    return time.monotonic() - start


def node_address() -> str:
    """An address at which node ports are reached from here."""
    (node, *_) = json.loads(kubectl("get", "nodes", "--output=json"))["items"]
    addresses = {entry["type"]: entry["address"] for entry in node["status"]["addresses"]}
    return str(addresses["InternalIP"])


def node_port(service: str, namespace: str = NAMESPACE) -> int:
    """The node port of a service's first port, port 80 of it that is."""
    port = "{.spec.ports[?(@.port==80)].nodePort}"
    return int(kubectl("get", "service", service, f"--namespace={namespace}", f"--output=jsonpath={port}"))


@contextmanager
def forwarded(target: str, port: int) -> Iterator[int]:
    """A port of this machine that leads to one of a pod, for as long as that lives."""
    command = ["kubectl", f"--namespace={NAMESPACE}", "port-forward", "--address=127.0.0.1", target, f":{port}"]
    with tempfile.NamedTemporaryFile() as told:
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)

        def chosen() -> re.Match[str] | None:
            return re.search(r"^Forwarding from 127\.0\.0\.1:(\d+) ", Path(told.name).read_text(), re.MULTILINE)

        try:
            await_true(f"{target} is forwarded", lambda: bool(chosen()) or process.poll() is not None, 30)
            found = chosen()
            assert found, f"{target} could not be forwarded"
            yield int(found[1])
        finally:
            process.terminate()
            process.wait(10)


def trouble() -> str:
    """What the cluster says of our pods, for whoever reads a failure."""
    told = [_told(*question) for question in (
        ("get", "pods,ksvc,jobs"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("logs", "--selector=serving.knative.dev/service=user-auth", "--all-containers", "--prefix", "--tail=20"),
        ("logs", "--selector=app.kubernetes.io/name=edge", "--prefix", "--tail=20"),
        ("logs", "--selector=app=activator", "--namespace=knative-serving", "--prefix", "--tail=20"),
    )]  # fmt: skip
    return "\n".join(told)


def _told(*question: str) -> str:
    try:
        return kubectl(*question, within=20)[-3000:]
    except (Refused, subprocess.TimeoutExpired) as error:
        return str(error)

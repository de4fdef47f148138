"""The pass-through function on topics of its own, deployed for one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from chattifier.pulsar_admin import PulsarAdmin
from tests.load import instances
from tests.load.stack import Stack

PARTITIONS = 8
"""As `commands` and `events` have."""


@dataclass(frozen=True)
class PassThrough:
    """Names of the deployed function and its topics."""

    run: str

    @property
    def path(self) -> str:
        """For the admin API."""
        return f"public/default/load-pass-through-{self.run}"

    @property
    def source(self) -> str:
        """What it reads."""
        return f"persistent://public/default/load-in-{self.run}"

    @property
    def target(self) -> str:
        """What it writes."""
        return f"persistent://public/default/load-out-{self.run}"


@contextmanager
def deployed(stack: Stack, run: str) -> Iterator[PassThrough]:
    """One instance of it runs; in the end it is gone, and so are its topics."""
    function = PassThrough(run)
    for topic in (function.source, function.target):
        stack.admin.request("PUT", f"{topic_path(topic)}/partitions", PARTITIONS)
    tool = PulsarAdmin(stack.layout.part("pulsar"), stack.report.pulsar.admin_url, stack.report.pulsar.service_url)
    tool.run(_create(function))
    try:
        held = instances.Held(stack.admin, stack, function.path)
        instances.wait_until("the pass-through function runs", lambda: bool(held.instances()))
        yield function
    finally:
        tool.run(("functions", "delete", *_named(function)))
        for topic in (function.source, function.target):
            stack.admin.request("DELETE", f"{topic_path(topic)}/partitions?force=true")


def topic_path(topic: str) -> str:
    """A topic's place in the admin API."""
    domain, _, rest = topic.partition("://")
    return f"/admin/v2/{domain}/{quote(rest)}"


def _named(function: PassThrough) -> tuple[str, ...]:
    tenant, namespace, name = function.path.split("/")
    return ("--tenant", tenant, "--namespace", namespace, "--name", name)


def _create(function: PassThrough) -> tuple[str, ...]:
    serde = {function.source: "pass_through.RawBytes"}
    return (
        *("functions", "create", *_named(function), "--py", str(Path(__file__).with_name("pass_through.py"))),
        *("--classname", "pass_through.PassThrough", "--custom-serde-inputs", json.dumps(serde)),
        *("--subs-name", "pass-through", "--subs-position", "Earliest", "--parallelism", "1"),
        *("--user-config", json.dumps({"output": function.target})),
    )

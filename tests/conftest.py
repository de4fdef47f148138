"""The one stack that all tests share: their own, on free ports, stopped at the end.

Set CHATTIFIER_TEST_STACK to the data folder of a running stack to use that one: it saves its start in a quick loop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.running_stack import Stack, attached, started

# A busy machine is no reason to fail: what takes time is measured elsewhere.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole system, running."""
    running = os.environ.get("CHATTIFIER_TEST_STACK")
    if running:
        yield attached(Path(running).absolute())
    else:
        with started(tmp_path_factory.mktemp("stack")) as own:
            yield own


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the stack, so that `-m "not stack"` leaves it out; what needs quiet goes last, in any order, and
    behind that what kills a whole part: a Pulsar that has just started is slow for a while. Then logs are read.

    Their time limit holds for the test alone: the first of them also waits for the stack, which has a limit of its own.
    """
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker("stack")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(func_only=True))
    last = ("reads_logs", "kills_parts", "quiet")
    items.sort(key=lambda item: [item.get_closest_marker(name) is not None for name in last])


def pytest_sessionfinish() -> None:
    """Close connections to Cassandra whose owners live as long as their process. At exit it is too late: the driver's
    threads then find no executor any more, and say so.
    """
    driver = sys.modules.get("cassandra.cluster")
    if driver is not None:
        driver._shutdown_clusters()

"""The secured stores, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chattifier import topics
from chattifier.downloads import Cache
from chattifier.topics import Admin
from tests.secured import authority
from tests.secured.stores import Stores, running
from tests.stack.command import run


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Gateways and functions are asyncio programs."""
    return "asyncio"


@pytest.fixture(scope="module")  # others measure, and want the memory
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """They have our topics and tables, made by our own command."""
    folder = tmp_path_factory.mktemp("secured")
    with running(
        folder, authority.make(tmp_path_factory.mktemp("authority")), Cache(Path("~/.cache/chattifier").expanduser())
    ) as stores:
        topics.ensure(Admin(stores.admin_url, stores.environment["CHATTIFIER_PULSAR_TOKEN"], stores.authority.ca))
        applied = run("schema", "apply", environment=stores.environment)
        assert applied.code == 0, applied.err
        yield stores


@pytest.fixture(scope="session")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority that vouches for none of them."""
    return authority.make(tmp_path_factory.mktemp("strange"), "somebody else").ca

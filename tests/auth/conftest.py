"""The function on the stores of the shared stack, and eyes on what it does to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from tests.patient import Patient
from tests.running_stack import Stack

from .function import Function, running
from .revocations import RevocationLog

if TYPE_CHECKING:
    from cassandra.cluster import Session

Start = Callable[[Mapping[str, str]], Function]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Sockets of clients are asyncio's."""
    return "asyncio"


@pytest.fixture(scope="session")
def stores(stack: Stack) -> Mapping[str, str]:
    """The environment that leads the function to the stack's stores, with its limits off."""
    return {
        "CHATTIFIER_CASSANDRA": f"{stack.cassandra.host}:{stack.cassandra.port}",
        "CHATTIFIER_KEYSPACE": stack.cassandra.keyspace,
        "CHATTIFIER_REDIS_URL": stack.redis.url,
        "CHATTIFIER_PULSAR_URL": stack.pulsar.service_url,
        "CHATTIFIER_AUTH_LIMITS": "off",
    }


@pytest.fixture(scope="session")
def start(stores: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a function of one's own, with changes to the environment."""
    with ExitStack() as started:
        yield lambda changes: started.enter_context(
            running(tmp_path_factory.mktemp("function") / uuid4().hex, {**stores, **changes})
        )


@pytest.fixture(scope="session")
def function(start: Start) -> Function:
    """The function as most tests use it."""
    return start({})


@pytest.fixture
def client(function: Function) -> Iterator[httpx.Client]:
    """A client of `function`, that asks again where it is told to."""
    with httpx.Client(base_url=function.url, transport=Patient(), timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def redis(stores: Mapping[str, str]) -> Iterator[Redis]:
    """The stack's Redis."""
    with Redis.from_url(stores["CHATTIFIER_REDIS_URL"], decode_responses=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def cassandra(stack: Stack) -> Iterator[Session]:
    """The stack's Cassandra, in the chat keyspace."""
    from cassandra.cluster import Cluster

    cluster = Cluster([(stack.cassandra.host, stack.cassandra.port)], protocol_version=4)
    yield cluster.connect(stack.cassandra.keyspace)
    cluster.shutdown()


@pytest.fixture(scope="session")
def revocations(stores: Mapping[str, str]) -> Iterator[RevocationLog]:
    """What the gateways are told from now on."""
    with RevocationLog(stores["CHATTIFIER_PULSAR_URL"]) as log:
        yield log

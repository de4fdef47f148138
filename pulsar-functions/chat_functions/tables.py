"""Cassandra as the functions use it: one lazy connection, prepared statements, many at once, answers in the loop."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from cassandra import ConsistencyLevel, DriverException, OperationTimedOut, ReadFailure
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, ResponseFuture, Session
from cassandra.policies import (
    ConstantReconnectionPolicy,
    DCAwareRoundRobinPolicy,
    TokenAwarePolicy,
    WhiteListRoundRobinPolicy,
)
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement, tuple_factory

from chat_functions import metrics
from chat_functions.batching import retrying
from chat_functions.gathering import Gathering
from chat_functions.settings import Settings

_TO_CASSANDRA, _FAILED = metrics.CALL.labels("cassandra"), metrics.CALL_FAILURES.labels("cassandra")
Statement: TypeAlias = BoundStatement | BatchStatement
TIMEOUT = 2.0
"""Seconds for one statement."""
BUCKET = 5000
"""Numbers per partition of messages (by seq) and of room_log (by offset)."""
KEY_BUCKET = 600_000
"""Milliseconds of keys' times per partition of message_by_key."""


class TablesUnavailable(Exception):
    """Cassandra did not answer in time, or not with enough replicas: wait and try again."""


class Unreadable(TablesUnavailable):
    """A node refused to go on reading these rows, for their tombstones above all: it will the next time, too."""


_TRANSIENT = (DriverException, NoHostAvailable, OperationTimedOut)


class Tables:
    """A session to the keyspace, on the calling loop. It connects in the background; nothing is available before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster: Cluster | None = None
        self._session: Session | None = None
        self._prepared: dict[str, PreparedStatement] = {}
        self._connected = asyncio.Event()

    async def connect(self, statements: Sequence[str]) -> None:
        """Connect and prepare, as often as it takes; run it as a task. Afterwards the driver reconnects by itself."""
        await retrying(lambda: asyncio.to_thread(self._connect, statements), (TablesUnavailable,))
        self._connected.set()

    async def close(self) -> None:
        """For whoever lives longer than its connection: the driver's threads would go on."""
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.shutdown)

    async def connected(self) -> None:
        """Until the first connection."""
        await self._connected.wait()

    def _connect(self, statements: Sequence[str]) -> None:
        points = self._settings.contact_points()
        profile = ExecutionProfile(
            load_balancing_policy=_policy([host for host, _ in points]),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            request_timeout=TIMEOUT,
            row_factory=tuple_factory,
        )
        cluster = Cluster(
            [host for host, _ in points],
            port=points[0][1],
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ConstantReconnectionPolicy(0.5, None),
            protocol_version=5,
            connect_timeout=TIMEOUT,
            idle_heartbeat_interval=5,
            idle_heartbeat_timeout=5,
            auth_provider=_login(self._settings),
            ssl_context=_trusting(self._settings.cassandra_ca_file),
        )
        try:
            session = cluster.connect()
            self._prepared = {cql: session.prepare(cql, keyspace=self._settings.keyspace) for cql in statements}
            self._cluster, self._session = cluster, session
        except _TRANSIENT as error:
            cluster.shutdown()
            raise TablesUnavailable(f"Cassandra does not answer: {_why(error)}") from error

    def bind(self, cql: str, values: Sequence[Any]) -> BoundStatement:
        """A statement with its values. UNSET_VALUE writes nothing; a None would write a null, a tombstone.

        Raises TablesUnavailable before the first connection.
        """
        if self._session is None:
            raise TablesUnavailable("not connected yet")
        return self._prepared[cql].bind(values)

    def encoded(self, cql: str, values: Sequence[Any]) -> BoundStatement:
        """As `bind`, with values that are encoded already (encoding.py) or UNSET_VALUE: a fifth of its cost."""
        if self._session is None:
            raise TablesUnavailable("not connected yet")
        statement = BoundStatement(self._prepared[cql])
        statement.values = list(values)
        return statement

    async def read(self, cql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of one query, page by page; waits for the first connection. Raises TablesUnavailable."""
        await self.connected()
        result = (await self.execute([self.bind(cql, values)]))[0]
        if isinstance(result, TablesUnavailable):
            raise result
        return result

    async def execute(self, statements: Sequence[Statement]) -> list[list[tuple[Any, ...]] | TablesUnavailable]:
        """Run many at once; per statement its rows, or why not. Ends within the timeout of a statement."""
        if not statements:
            return []
        gathering: Gathering[Any] = Gathering(len(statements), unanswered=None)
        with metrics.timed(_TO_CASSANDRA):
            for index, statement in enumerate(statements):
                assert self._session is not None, "what is bound has a session"
                _watch(gathering, index, self._session.execute_async(statement))
            answers = await gathering.all()
        if any(isinstance(answer, TablesUnavailable) for answer in answers):
            _FAILED.inc()
        return answers


def batch(statements: Sequence[BoundStatement]) -> Statement:
    """An unlogged batch: for one partition, where it is one write."""
    if len(statements) == 1:
        return statements[0]
    together = BatchStatement(batch_type=BatchType.UNLOGGED, consistency_level=ConsistencyLevel.LOCAL_QUORUM)
    for statement in statements:
        together.add(statement)
    return together


def _login(settings: Settings) -> PlainTextAuthProvider | None:
    name = settings.cassandra_username
    return PlainTextAuthProvider(name, settings.cassandra_password) if name else None


def _trusting(authorities: Path | None) -> ssl.SSLContext | None:
    """Whoever they vouch for is a node of Cassandra, whatever address it has: certificates seldom name those."""
    if authorities is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authorities)
    return context


def _why(error: Exception) -> str:
    """The kinds of what went wrong, of each node where there were several. Of TLS the driver keeps only the text."""
    errors = list(error.errors.values()) if isinstance(error, NoHostAvailable) else []
    kinds = {tls[1] if (tls := re.search(r"\[SSL: (\w+)\]", str(one))) else type(one).__name__ for one in errors}
    return ", ".join(sorted(kinds)) or type(error).__name__


def _policy(hosts: list[str]) -> TokenAwarePolicy:
    # One address is a single node, or a forwarded port: other addresses that it gossips may not be reachable from here.
    below = WhiteListRoundRobinPolicy(hosts) if len(hosts) == 1 else DCAwareRoundRobinPolicy()
    return TokenAwarePolicy(below)


def _watch(gathering: Gathering[Any], index: int, future: ResponseFuture) -> None:
    """All pages of a statement's rows become its answer, or TablesUnavailable."""
    rows: list[tuple[Any, ...]] = []

    def page(result: Any) -> None:
        if result:
            rows.extend(result)
        if future.has_more_pages:
            future.start_fetching_next_page()
        else:
            gathering.answer(index, rows)

    def failed(error: Exception) -> None:
        kind = Unreadable if isinstance(error, ReadFailure) else TablesUnavailable
        gathering.answer(index, kind(type(error).__name__))

    future.add_callbacks(page, failed)

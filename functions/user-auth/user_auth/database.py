"""The connection to Cassandra: made at first use, and every failure of it one exception."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from user_auth import logs
from user_auth.errors import Unavailable
from user_auth.once import Once
from user_auth.settings import Settings

if TYPE_CHECKING:
    from cassandra.cluster import Cluster, Session
    from cassandra.query import PreparedStatement

TIMEOUT: Final = 2.0
"""Seconds that a connect or a request may take."""

HEARTBEAT: Final = 5
"""Seconds of silence after which a connection is asked whether it is there, and seconds for it to answer."""

PAGE: Final = 200
"""Rows of `pages` that are held at once."""


class Database:
    """Runs CQL in our keyspace with LOCAL_QUORUM. Thread-safe. Raises Unavailable where Cassandra does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: Once[Session] = Once(self._connect)
        self._prepared: dict[str, PreparedStatement] = {}

    def run(self, cql: str, *values: object) -> Sequence[Any]:
        """The rows of one statement, as named tuples. Statements are prepared once a process."""
        return list(self._rows(cql, values))

    def pages(self, cql: str, *values: object) -> Iterator[Any]:
        """The same, read while they are taken, a page at a time: for what may be large."""
        return self._rows(cql, values, PAGE)

    def _rows(self, cql: str, values: Sequence[object], page: int | None = None) -> Iterator[Any]:
        from cassandra import DriverException
        from cassandra.cluster import NoHostAvailable

        session = self._session.get()
        try:
            statement = self._prepare(session, cql).bind(values)
            if page is not None:
                statement.fetch_size = page
            yield from session.execute(statement, timeout=TIMEOUT)
        except (DriverException, NoHostAvailable) as error:
            logs.failure("cassandra_failed", error, keyspace=self._settings.keyspace)
            raise Unavailable from error

    def _prepare(self, session: Session, cql: str) -> PreparedStatement:
        # Two threads may both prepare it at first: the same statement twice, which harms nobody.
        if cql not in self._prepared:
            self._prepared[cql] = session.prepare(cql)
        return self._prepared[cql]

    def _connect(self) -> Session:
        from cassandra import DriverException
        from cassandra.cluster import NoHostAvailable

        cluster = self._cluster()
        try:
            return cluster.connect(self._settings.keyspace)
        except (DriverException, NoHostAvailable, OSError) as error:
            places = ",".join(f"{host}:{port}" for host, port in self._settings.cassandra)
            logs.failure("cassandra_unreachable", error, cassandra=places, keyspace=self._settings.keyspace)
            cluster.shutdown()
            raise Unavailable from error

    def _cluster(self) -> Cluster:
        from cassandra import ConsistencyLevel
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy

        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),  # the first contact's data centre
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
            request_timeout=TIMEOUT,
        )
        return Cluster(
            list(self._settings.cassandra),
            protocol_version=4,  # 5 adds checksums that the driver computes in Python
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ConstantReconnectionPolicy(1.0, max_attempts=None),
            connect_timeout=TIMEOUT,
            control_connection_timeout=TIMEOUT,
            # Whose other end is gone without a word is replaced after so long; the driver's own is a minute.
            idle_heartbeat_interval=HEARTBEAT,
            idle_heartbeat_timeout=HEARTBEAT,
            **self._access(),
        )

    def _access(self) -> dict[str, Any]:
        """Login and TLS, as far as they are wanted. Whoever the authorities vouch for is a node of Cassandra, whatever
        address it has.
        """
        access: dict[str, Any] = {}
        if self._settings.cassandra_username:
            from cassandra.auth import PlainTextAuthProvider

            password = self._settings.cassandra_password or ""
            access["auth_provider"] = PlainTextAuthProvider(self._settings.cassandra_username, password)
        if self._settings.cassandra_ca_file:
            import ssl

            access["ssl_context"] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(self._settings.cassandra_ca_file)
        return access

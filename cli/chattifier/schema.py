"""Cassandra's keyspace and tables: each deployable ships the schema of what it owns as `schema.cql`."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chattifier.errors import StackError

OWNERS = ("user_auth", "chat_functions")
LOCAL_REPLICATION = "{'class': 'SimpleStrategy', 'replication_factor': 1}"


@dataclass(frozen=True)
class Login:
    """What Cassandra wants of who comes: a name with its password, TLS with these authorities; or nothing."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


@dataclass(frozen=True)
class CassandraAddress:
    """Contact points and the keyspace."""

    hosts: tuple[tuple[str, int], ...]
    keyspace: str
    login: Login = Login()

    @classmethod
    def parse(cls, text: str, keyspace: str, login: Login) -> CassandraAddress:
        """From `host:port,host:port`. Raises StackError if it is not that."""
        matches = [re.fullmatch(r"\s*([^:\s]+):(\d+)\s*", point) for point in text.split(",")]
        if not all(matches) or not re.fullmatch(r"[a-z][a-z0-9_]*", keyspace):
            raise StackError(
                f"Not a Cassandra address and keyspace: {text!r}, {keyspace!r}. Give host:port[,host:port] and a name."
            )
        return cls(tuple((match[1], int(match[2])) for match in matches if match), keyspace, login)


def apply(address: CassandraAddress, replication: str) -> str:
    """Make the keyspace and every table that is missing. Returns what was done, in a few words.

    `replication` is a CQL map. Statements are `CREATE ... IF NOT EXISTS`, so applying twice changes nothing.
    """
    statements = [statement for owner in OWNERS for statement in _statements(owner)]
    with session(address) as execute:
        execute(f"CREATE KEYSPACE IF NOT EXISTS {address.keyspace} WITH replication = {replication}")
        execute(f"USE {address.keyspace}")
        for statement in statements:
            execute(statement)
    return f"{len(statements)} statements on keyspace {address.keyspace}"


def await_answer(address: CassandraAddress, seconds: float) -> None:
    """Wait until Cassandra can be reached. Raises StackError if it cannot in that time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with session(address):
                return
        except StackError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


@contextmanager
def session(address: CassandraAddress) -> Iterator[Callable[[str], Any]]:
    """Open a session without a keyspace; raises StackError if Cassandra cannot be reached."""
    # They take half a second, which other commands need not wait.
    from cassandra import AuthenticationFailed, DriverException, UnresolvableContactPoints
    from cassandra.cluster import Cluster, NoHostAvailable

    logging.getLogger("cassandra").setLevel(logging.ERROR)
    host, port = address.hosts[0]
    try:
        cluster = Cluster([name for name, _ in address.hosts], port=port, connect_timeout=10, **_access(address.login))
    except UnresolvableContactPoints as error:
        raise StackError(f"Cassandra cannot be found: there is no {host}.") from error
    try:
        connection = cluster.connect()
        yield lambda statement: connection.execute(statement, timeout=30)
    except NoHostAvailable as error:
        if any(isinstance(reason, AuthenticationFailed) for reason in error.errors.values()):
            raise StackError(
                f"Cassandra at {host}:{port} lets nobody in with this name and password: "
                "set CHATTIFIER_CASSANDRA_USERNAME and CHATTIFIER_CASSANDRA_PASSWORD."
            ) from error
        if tls := re.search(r"\[SSL: (\w+)\]", str(error.errors)):  # the driver keeps no more of it than its text
            raise StackError(f"Cassandra at {host}:{port} and we do not agree on TLS: {tls[1]}.") from error
        raise StackError(f"Cassandra cannot be reached at {host}:{port}.") from error
    except DriverException as error:  # a login without the right, a keyspace that is not there, no answer in time
        said = getattr(error, "message", None) or str(error) or type(error).__name__
        raise StackError(f"Cassandra at {host}:{port} refused: {said}.") from error
    finally:
        cluster.shutdown()


def _access(login: Login) -> dict[str, Any]:
    """The same for the driver. Whoever the authorities vouch for is a node of Cassandra, whatever address it has."""
    from cassandra.auth import PlainTextAuthProvider

    access: dict[str, Any] = {}
    if login.username:
        access["auth_provider"] = PlainTextAuthProvider(login.username, login.password or "")
    if login.ca_file:
        access["ssl_context"] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(login.ca_file)
    return access


def _statements(owner: str) -> Sequence[str]:
    """The statements of an owner's schema file; none where the owner ships no schema."""
    path = package_folder(owner) / "schema.cql"
    if not path.exists():
        return []
    without_comments = re.sub(r"--[^\n]*|//[^\n]*", "", path.read_text())
    return [statement.strip() for statement in without_comments.split(";") if statement.strip()]


def package_folder(package: str) -> Path:
    """The folder of an installed package, found without importing it. Raises StackError if it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"The package {package} is not installed: run scripts/up.")
    return Path(next(iter(spec.submodule_search_locations)))

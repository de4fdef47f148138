"""The stores of accounts, as an operator's command reaches them: user-auth's own rules, in this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from chattifier.errors import StackError
from chattifier.schema import CassandraAddress

if TYPE_CHECKING:
    from user_auth.operator import Operator
    from user_auth.settings import Settings


@dataclass(frozen=True)
class Stores:
    """Where Cassandra, Redis and Pulsar are; `name_kept`: seconds until the name of an erased account is free."""

    cassandra: CassandraAddress
    redis_url: str = field(repr=False)
    pulsar_url: str
    pulsar_token: str | None = field(default=None, repr=False)
    pulsar_ca_file: Path | None = None
    name_kept: int | None = None

    def settings(self) -> Settings:
        """The same for user-auth."""
        from user_auth.settings import Settings

        kept = {} if self.name_kept is None else {"name_kept_seconds": self.name_kept}
        values = {
            "cassandra": self.cassandra.hosts,
            "cassandra_username": self.cassandra.login.username,
            "cassandra_password": self.cassandra.login.password,
            "cassandra_ca_file": self.cassandra.login.ca_file,
            "keyspace": self.cassandra.keyspace,
            "redis_url": self.redis_url,
            "pulsar_url": self.pulsar_url,
            "pulsar_token": self.pulsar_token,
            "pulsar_ca_file": self.pulsar_ca_file,
        }
        return Settings.model_validate({**values, **kept})


@contextmanager
def operator(stores: Stores) -> Iterator[Operator]:
    """An operator on these stores. Raises StackError, for a person, where they refuse or do not answer."""
    from user_auth import logs
    from user_auth.app import parts
    from user_auth.errors import Code, Unavailable
    from user_auth.operator import Operator

    for logger in (logs.LOGGER, logging.getLogger("cassandra")):  # what they have to say, the error says
        logger.setLevel(logging.CRITICAL)
    try:
        yield Operator(parts(stores.settings()))
    except Unavailable as error:
        if error.code is Code.REVOCATION_DELAYED:  # Redis or Pulsar: what Cassandra holds is done
            raise StackError(f"{error.detail} Repeat the command to have them closed.") from error
        places = ", ".join(f"{host}:{port}" for host, port in stores.cassandra.hosts)
        raise StackError(f"Cassandra does not answer at {places}: repeat the command when it does.") from error


def save(pieces: Iterable[bytes], path: Path) -> None:
    """Write a file that only its owner may read; it is there whole or not at all. Raises StackError."""
    new = path.with_name(f"{path.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.writelines(pieces)
        new.replace(path)
    except OSError as error:
        raise StackError(f"Cannot write {path}: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)

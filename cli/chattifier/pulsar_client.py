"""A client of Pulsar's broker, for one command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pulsar

from chattifier.errors import StackError


@dataclass(frozen=True)
class Broker:
    """Where Pulsar's broker is, with a token if it wants one, and authorities if public ones do not vouch for it."""

    service_url: str
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


@contextmanager
def connected(broker: Broker, *, silent: bool = False) -> Iterator[pulsar.Client]:
    """A client, closed in the end. What Pulsar refuses meanwhile becomes a StackError.

    What the library has to say of errors goes to the standard output, or nowhere. Never through Python's logging: its
    threads outlive the client, and abort a process that ends while one of them says something.
    """
    error = pulsar.LoggerLevel.Error
    try:
        client = pulsar.Client(
            broker.service_url,
            authentication=pulsar.AuthenticationToken(broker.token) if broker.token else None,
            tls_trust_certs_file_path=str(broker.ca_file) if broker.ca_file else None,
            tls_validate_hostname=True,
            operation_timeout_seconds=10,
            logger=pulsar.FileLogger(error, os.devnull) if silent else pulsar.ConsoleLogger(error),
        )
    except (ValueError, pulsar.PulsarException) as wrong:
        raise StackError(f"{broker.service_url!r} is no address of Pulsar: pulsar://host:6650.") from wrong
    try:
        yield client
    except pulsar.PulsarException as refusal:
        raise StackError(f"Pulsar at {broker.service_url} refused: {refusal}.") from refusal
    finally:
        client.close()

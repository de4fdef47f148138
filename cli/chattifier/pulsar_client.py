"""A client of Pulsar's broker, for one command."""

from __future__ import annotations

import logging
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
def connected(broker: Broker, logger: logging.Logger | None = None) -> Iterator[pulsar.Client]:
    """A client, closed in the end. What Pulsar refuses meanwhile becomes a StackError.

    `logger` gets what the library has to say; without one its errors go to the standard output.
    """
    try:
        client = pulsar.Client(
            broker.service_url,
            authentication=pulsar.AuthenticationToken(broker.token) if broker.token else None,
            tls_trust_certs_file_path=str(broker.ca_file) if broker.ca_file else None,
            tls_validate_hostname=True,
            operation_timeout_seconds=10,
            logger=logger or pulsar.ConsoleLogger(pulsar.LoggerLevel.Error),
        )
    except (ValueError, pulsar.PulsarException) as error:
        raise StackError(f"{broker.service_url!r} is no address of Pulsar: pulsar://host:6650.") from error
    try:
        yield client
    except pulsar.PulsarException as error:
        raise StackError(f"Pulsar at {broker.service_url} refused: {error}.") from error
    finally:
        client.close()

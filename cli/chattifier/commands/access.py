"""Options of commands that reach stores which want TLS or a login: for whatever the command connects to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from chattifier.schema import Login

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_KEY = "chattifier.access"


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta.setdefault(_KEY, {})[parameter.name] = value


def _kept(name: str) -> Any:
    return click.get_current_context().meta.get(_KEY, {}).get(name)


def pulsar_option(function: Command) -> Command:
    """`--pulsar-ca-file`; see pulsar_ca_file."""
    return click.option(
        "--pulsar-ca-file", type=FILE, envvar="CHATTIFIER_PULSAR_CA_FILE", callback=_keep, expose_value=False,
        help="Authorities (PEM) that vouch for Pulsar, if they are not public ones.",
    )(function)  # fmt: skip


def pulsar_ca_file() -> Path | None:
    """What this command was told."""
    found: Path | None = _kept("pulsar_ca_file")
    return found


def cassandra_options(function: Command) -> Command:
    """Name, password and authorities; see cassandra_login."""
    username = click.option(
        "--cassandra-username", envvar="CHATTIFIER_CASSANDRA_USERNAME", callback=_keep, expose_value=False,
        help="If Cassandra wants one.",
    )  # fmt: skip
    password = click.option(
        "--cassandra-password", envvar="CHATTIFIER_CASSANDRA_PASSWORD", callback=_keep, expose_value=False,
        help="Better given by the environment.",
    )  # fmt: skip
    ca_file = click.option(
        "--cassandra-ca-file", type=FILE, envvar="CHATTIFIER_CASSANDRA_CA_FILE", callback=_keep, expose_value=False,
        help="Authorities (PEM) that vouch for Cassandra's nodes: with it TLS is spoken.",
    )  # fmt: skip
    return username(password(ca_file(function)))


def cassandra_login() -> Login:
    """What this command was told."""
    return Login(_kept("cassandra_username"), _kept("cassandra_password"), _kept("cassandra_ca_file"))

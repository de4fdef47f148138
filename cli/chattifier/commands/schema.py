"""`chattifier schema apply`."""

from __future__ import annotations

import click

from chattifier import schema as cassandra_schema
from chattifier.commands.access import cassandra_login, cassandra_options
from chattifier.schema import LOCAL_REPLICATION, CassandraAddress


@click.group()
def schema() -> None:
    """Cassandra's tables."""


@schema.command()
@click.option(
    "--cassandra",
    default="127.0.0.1:9042",
    envvar="CHATTIFIER_CASSANDRA",
    show_default=True,
    help="host:port[,host:port]",
)
@click.option("--keyspace", default="chat", envvar="CHATTIFIER_KEYSPACE", show_default=True)
@click.option(
    "--replication",
    default=LOCAL_REPLICATION,
    envvar="CHATTIFIER_REPLICATION",
    show_default=True,
    help="CQL map for a keyspace that is made anew.",
)
@click.option("--wait", default=0, help="Seconds to wait for Cassandra to answer at all.")
@cassandra_options
def apply(cassandra: str, keyspace: str, replication: str, wait: int) -> None:
    """Make the keyspace and every table that is missing."""
    address = CassandraAddress.parse(cassandra, keyspace, cassandra_login())
    cassandra_schema.await_answer(address, wait)
    click.echo(cassandra_schema.apply(address, replication))

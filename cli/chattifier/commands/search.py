"""`chattifier search reindex`."""

from __future__ import annotations

import uuid
from contextlib import nullcontext

import click
from rich.console import Console

from chattifier import reindex as reindexing
from chattifier.commands.access import cassandra_login, cassandra_options, pulsar_ca_file, pulsar_option
from chattifier.commands.stack import data_option, running
from chattifier.layout import Layout
from chattifier.pulsar_client import Broker
from chattifier.schema import CassandraAddress
from chattifier.topics import Admin
from pulsar_data.model import RoomId


@click.group()
def search() -> None:
    """The index behind message.search."""


def _room(_context: click.Context, _parameter: click.Parameter, value: str | None) -> RoomId | None:
    try:
        return None if value is None else RoomId(str(uuid.UUID(value)))
    except ValueError as error:
        raise click.BadParameter("a room's id is a UUID") from error


@search.command()
@click.option("--room", callback=_room, help="Only this room, instead of all.")
@click.option("--admin-url", help="http://host:8080 of any broker. Default: the local stack's, as the others.")
@click.option("--service-url", envvar="CHATTIFIER_PULSAR_URL", help="pulsar://host:6650 of any broker.")
@click.option("--token", envvar="CHATTIFIER_PULSAR_TOKEN", help="For Pulsar; better given by the environment.")
@click.option("--cassandra", envvar="CHATTIFIER_CASSANDRA", help="host:port[,host:port]")
@click.option("--keyspace", default="chat", envvar="CHATTIFIER_KEYSPACE", show_default=True)
@pulsar_option
@cassandra_options
@data_option
def reindex(
    room: RoomId | None,
    admin_url: str | None,
    service_url: str | None,
    token: str | None,
    cassandra: str | None,
    keyspace: str,
    layout: Layout,
) -> None:
    """Make the index again from the stored messages, and wait until it is done. Search goes on meanwhile."""
    if not (admin_url or service_url or cassandra):
        admin_url, service_url, cassandra = _local(layout)
    if admin_url is None or service_url is None or (cassandra is None and room is None):
        raise click.UsageError("Give all of --admin-url, --service-url and --cassandra, or none: the local stack.")
    console, ca = Console(stderr=True), pulsar_ca_file()
    with (
        reindexing.opened(Broker(service_url, token, ca), Admin(admin_url.rstrip("/"), token, ca)) as work,
        nullcontext(iter([room])) if room else reindexing.all_rooms(_address(cassandra, keyspace)) as rooms,
        console.status("Indexing") as shown,
    ):
        count = work.rooms(rooms, lambda done: shown.update(f"Indexing: {done} rooms are done"))
    click.echo(f"{count} rooms are indexed.")


def _address(cassandra: str | None, keyspace: str) -> CassandraAddress:
    return CassandraAddress.parse(cassandra or "", keyspace, cassandra_login())


def _local(layout: Layout) -> tuple[str, str, str]:
    now = running(layout, "--admin-url, --service-url and --cassandra")
    return now.pulsar.admin_url, now.pulsar.service_url, f"{now.cassandra.host}:{now.cassandra.port}"

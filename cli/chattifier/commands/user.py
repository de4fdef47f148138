"""`chattifier user export|erase|revoke`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattifier.accounts import Stores, operator, save
from chattifier.commands.access import cassandra_login, cassandra_options, pulsar_ca_file, pulsar_option
from chattifier.commands.stack import data_option, running
from chattifier.errors import StackError
from chattifier.layout import Layout
from chattifier.schema import CassandraAddress

if TYPE_CHECKING:
    from user_auth.operator import Operator
    from user_auth.users import Erased, User

DAY = 24 * 3600


@click.group()
def user() -> None:
    """Accounts: what their owners may do themselves, without their password."""


def stores_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which system: the local stack of `--data`, or the three stores by address; handed on as `stores`."""

    @data_option
    @click.option(
        "--cassandra", envvar="CHATTIFIER_CASSANDRA", help="host:port[,host:port]. Default: the local stack's."
    )
    @click.option("--keyspace", default="chat", envvar="CHATTIFIER_KEYSPACE", show_default=True)
    @click.option("--redis-url", envvar="CHATTIFIER_REDIS_URL", help="Default: the local stack's.")
    @click.option("--service-url", envvar="CHATTIFIER_PULSAR_URL", help="Of Pulsar. Default: the local stack's.")
    @click.option("--token", envvar="CHATTIFIER_PULSAR_TOKEN", help="For Pulsar; better given by the environment.")
    @pulsar_option
    @cassandra_options
    @wraps(function)
    def command(
        *, layout: Layout, cassandra: str | None, keyspace: str, redis_url: str | None, service_url: str | None,
        token: str | None, **others: Any,
    ) -> Any:  # fmt: skip
        if cassandra and redis_url and service_url:
            address = CassandraAddress.parse(cassandra, keyspace, cassandra_login())
            stores = Stores(address, redis_url, service_url, token, pulsar_ca_file())
        elif cassandra or redis_url or service_url:
            raise click.UsageError("Give all of --cassandra, --redis-url and --service-url, or none: the local stack.")
        else:
            stores = _local(layout)
        return function(stores=stores, **others)

    return command


def _local(layout: Layout) -> Stores:
    place = running(layout, "the stores' addresses")
    cassandra = CassandraAddress(((place.cassandra.host, place.cassandra.port),), place.cassandra.keyspace)
    return Stores(cassandra, place.redis.url, place.pulsar.service_url)


@contextmanager
def _account(stores: Stores, name_or_id: str) -> Iterator[tuple[Operator, User | Erased]]:
    with operator(stores) as does:
        account = does.find(name_or_id)
        if account is None:
            raise StackError(f"There is no account {name_or_id!r}: give a username, or an id with its hyphens.")
        yield does, account


def _active(account: User | Erased) -> User:
    from user_auth.users import User

    if not isinstance(account, User):
        raise StackError(f"The account {account.user_id} is erased.")
    return account


name_argument = click.argument("name_or_id")


@user.command()
@name_argument
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file, instead of the standard output.")
@stores_options
def export(name_or_id: str, out: Path | None, stores: Stores) -> None:
    """Write all that is kept of a user, as JSON lines. Without its last line, `end`, an export is not whole."""
    with _account(stores, name_or_id) as (does, account):
        pieces = does.export(_active(account))
        if out is not None:
            save(pieces, out)
        else:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


@user.command()
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--keep-name", type=click.IntRange(1, 7300), default=30, show_default=True, help="Days until the name is free."
)
@stores_options
def erase(name_or_id: str, yes: bool, keep_name: int, stores: Stores) -> None:
    """Erase an account for good: its profile, password and sessions. Its messages stay, as a deleted user's."""
    with _account(replace(stores, name_kept=keep_name * DAY), name_or_id) as (does, account):
        if not yes:
            click.confirm(f"Erase the account {_shown(account)} for good?", abort=True)
        does.erase(account)
        click.echo(f"Erased {_shown(account)}.")


@user.command()
@name_argument
@stores_options
def revoke(name_or_id: str, stores: Stores) -> None:
    """End every session of a user: all tokens are void, and all sockets close. The password stays good."""
    with _account(stores, name_or_id) as (does, account):
        does.revoke(_active(account))
        click.echo(f"Ended every session of {_shown(account)}.")


def _shown(account: User | Erased) -> str:
    return f"{account.username or '(name given back)'}, {account.user_id}"

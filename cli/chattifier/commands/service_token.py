"""`chattifier service-token`."""

from __future__ import annotations

import click

from chattifier import keys
from chattifier.commands.stack import data_option
from chattifier.layout import Layout

DAY = 24 * 3600


@click.command("service-token")
@click.argument("name")
@data_option
@click.option("--seconds", default=DAY, show_default=True, help="How long it is good.")
def service_token(name: str, layout: Layout, seconds: int) -> None:
    """Print a token with which the server NAME may call every method of the local stack: POST /api/rpc."""
    click.echo(keys.service_token(layout.service_keys, name, seconds))

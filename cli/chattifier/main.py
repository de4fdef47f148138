"""The `chattifier` command."""

from __future__ import annotations

import click

from chattifier.commands.dead_letters import dead_letters
from chattifier.commands.demo import demo
from chattifier.commands.deploy import deploy, package
from chattifier.commands.schema import schema
from chattifier.commands.stack import down, logs, reset, status, up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chattifier")
def cli() -> None:
    """Chattifier: a chat backend on Pulsar Functions, Cassandra and Redis."""


for command in (up, down, status, logs, reset, demo, deploy, package, dead_letters, schema):
    cli.add_command(command)

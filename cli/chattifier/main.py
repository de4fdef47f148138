"""The `chattifier` command. Each subcommand's module is imported when it is used: together they take a second."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "up": "stack",
    "down": "stack",
    "status": "stack",
    "logs": "stack",
    "reset": "stack",
    "demo": "demo",
    "chat": "chat",
    "deploy": "deploy",
    "package": "deploy",
    "config": "config",
    "dead-letters": "dead_letters",
    "user": "user",
    "schema": "schema",
    "search": "search",
    "service-token": "service_token",
    "keys": "keys",
}
"""The module below `chattifier.commands` in which a subcommand is, as a function of its name."""


class Subcommands(click.Group):
    """A group that imports its commands late."""

    def invoke(self, ctx: click.Context) -> object:
        """As inherited; what the machine refuses is said in a line."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.strerror is None:
                raise
            place = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{place}{error.strerror}.") from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a new user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"chattifier.commands.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chattifier")
def cli() -> None:
    """Chattifier: a chat backend on Pulsar Functions, Cassandra and Redis."""

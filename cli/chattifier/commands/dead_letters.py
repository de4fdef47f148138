"""`chattifier dead-letters list|show|replay|drop`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from chattifier.commands.broker import broker, broker_options
from chattifier.dead_letters import Letter, Mailbox, find, opened
from chattifier.layout import Layout
from pulsar_data.topics import FUNCTIONS


@click.group("dead-letters")
def dead_letters() -> None:
    """Messages that a function could never process."""


function_argument = click.argument("function", type=click.Choice(FUNCTIONS))


@dead_letters.command("list")
@click.argument("function", type=click.Choice(FUNCTIONS), required=False)
@broker_options
def list_letters(function: str | None, layout: Layout, service_url: str | None, token: str | None) -> None:
    """List the dead letters of one function, or of all. Never shows what is in them."""
    address = broker(layout, service_url, token)
    table = Table("function", "id", "reason", "attempts", "source", "room", "last", box=None, header_style="bold")
    for name in [function] if function else FUNCTIONS:
        with opened(address, name) as mailbox:
            for letter in mailbox.letters():
                source = letter.source_topic.rpartition("/")[2]
                row = (letter.reason, letter.attempts, source, letter.key, _time(letter.last_time))
                table.add_row(name, letter.id, *row)
    Console().print(table if table.row_count else "There are no dead letters.")


@dead_letters.command()
@function_argument
@click.argument("letter_id")
@click.option("--payload", is_flag=True, help="Show what is in it as well: that may be what somebody wrote.")
@broker_options
def show(
    function: str, letter_id: str, payload: bool, layout: Layout, service_url: str | None, token: str | None
) -> None:
    """Show one dead letter."""
    with opened(broker(layout, service_url, token), function) as mailbox:
        letter = find(mailbox.letters(), letter_id)
    fields = {
        "id": letter.id,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "source topic": letter.source_topic,
        "source message": letter.source_message_id,
        "key": letter.key,
        "first time": _time(letter.first_time),
        "last time": _time(letter.last_time),
        "size": f"{len(letter.payload)} bytes",
        "copies": str(len(letter.messages)),
    }
    for name, value in fields.items():
        click.echo(f"{name:15} {value}")
    if payload:
        click.echo(letter.payload.decode(errors="replace"))


def _chosen(mailbox: Mailbox, letter_ids: Sequence[str], every: bool) -> list[Letter]:
    if every == bool(letter_ids):
        raise click.UsageError("Give the ids of letters, or --all.")
    letters = mailbox.letters()
    return letters if every else [find(letters, wanted) for wanted in letter_ids]


@dead_letters.command()
@function_argument
@click.argument("letter_ids", nargs=-1)
@click.option("--all", "every", is_flag=True)
@broker_options
def replay(
    function: str, letter_ids: tuple[str, ...], every: bool, layout: Layout, service_url: str | None, token: str | None
) -> None:
    """Put dead letters back where they came from, after whatever stopped them was mended."""
    with opened(broker(layout, service_url, token), function) as mailbox:
        for letter in _chosen(mailbox, letter_ids, every):
            mailbox.replay(letter)
            click.echo(f"Replayed {letter.id} to {letter.source_topic}.")


@dead_letters.command()
@function_argument
@click.argument("letter_ids", nargs=-1)
@click.option("--all", "every", is_flag=True)
@broker_options
def drop(
    function: str, letter_ids: tuple[str, ...], every: bool, layout: Layout, service_url: str | None, token: str | None
) -> None:
    """Take dead letters off the list for good."""
    with opened(broker(layout, service_url, token), function) as mailbox:
        for letter in _chosen(mailbox, letter_ids, every):
            mailbox.drop(letter)
            click.echo(f"Dropped {letter.id}.")


def _time(milliseconds: str) -> str:
    if not milliseconds.isdigit():
        return milliseconds
    return f"{datetime.fromtimestamp(int(milliseconds) / 1000, UTC):%Y-%m-%d %H:%M:%S}"

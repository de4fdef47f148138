"""`chattifier demo`."""

from __future__ import annotations

import asyncio

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chattifier import demo as play
from chattifier.commands.stack import data_option, running
from chattifier.layout import Layout


@click.command()
@data_option
def demo(layout: Layout) -> None:
    """Sign two people up, let them talk from two gateways, and show what was stored."""
    place = running(layout)
    console = Console()
    rows = asyncio.run(play.run(place, lambda line: console.print(line, highlight=False)))
    stored = Table("seq", "sender", "text", title="In Cassandra, table messages", header_style="bold")
    for row in rows:
        stored.add_row(str(row.seq), row.sender, escape(row.text))
    console.print(stored)
    console.print(f"[green]✓[/] {len(rows)} messages said, heard by both in the same order, and stored.")

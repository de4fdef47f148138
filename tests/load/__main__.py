"""`python -m tests.load`: take the measurements and write docs/performance.md."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from tests.load import drain, idle, machine, reconnect, report, stack, start, talk
from tests.load.errors import LoadFailed
from tests.load.machine import Machine
from tests.load.stack import Stack

STEPS = (200, 650, 1100, 1550, 2000)
"""Connections at which memory is read."""
Take = Callable[[Stack, Machine, str], str]


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="A running stack's folder; without it one is started.")
@click.option("--only", type=click.Choice(report.ORDER), multiple=True, help="Not all: this one (repeatable).")
@click.option("--commands", default=20_000, show_default=True, help="Of a backlog.")
@click.option("--rounds", default=3, show_default=True, help="Backlogs, each worked off by all functions in turn.")
@click.option("--rate", default=200.0, show_default=True, help="Messages a second, over sockets; and half of it.")
@click.option("--seconds", default=60.0, show_default=True, help="How long people talk.")
@click.option("--connections", default=STEPS[-1], show_default=True, help="The most idle connections.")
@click.option("--clients", default=1000, show_default=True, help="Whose gateway is killed.")
@click.option("--page", type=click.Path(path_type=Path), default=report.PAGE, help="Where the figures are written.")
def main(
    data: Path | None,
    only: tuple[str, ...],
    commands: int,
    rounds: int,
    rate: float,
    seconds: float,
    connections: int,
    clients: int,
    page: Path,
) -> None:
    """Measure a stack on this machine. Wants a quiet one: nothing else should run beside it."""
    console = Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        console.print(f"  {text}")

    steps = (*(step for step in STEPS if step < connections), connections)
    takes: dict[str, Take] = {
        "drain": lambda s, m, v: report.drain(drain.measure(s, commands, rounds, say), m, v),
        "talk": lambda s, m, v: report.talk([talk.measure(s, each, seconds, say) for each in (rate, rate / 2)], m, v),
        "reconnect": lambda s, m, v: report.reconnect(reconnect.measure(s, clients, say), m, v),
        "idle": lambda s, m, v: report.idle(idle.measure(s, steps, say), m, v),
    }
    chosen = [name for name in report.ORDER if not only or name in only]
    try:
        if "start" in chosen:
            console.print("[bold]start[/]")
            measured = start.measure(say)
            report.write("start", report.start(measured, Machine.this(), f"Python {platform.python_version()}"), page)
        with stack.running(data) as running:
            for name in [name for name in chosen if name != "start"]:
                console.print(f"[bold]{name}[/]")
                report.write(name, takes[name](running, Machine.this(), machine.versions(running.report)), page)
                console.print(f"  written to {page}")
    except LoadFailed as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()

"""`up`, `down`, `status`, `logs`, `reset`: the local stack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from chattifier import processes
from chattifier.downloads import Cache
from chattifier.errors import PartFailed, StackError
from chattifier.layout import Layout
from chattifier.log_files import follow, last_lines
from chattifier.ports import Ports
from chattifier.progress import Screen
from chattifier.run_state import RunState, read
from chattifier.stack import ALL, Stack, clear, locked
from chattifier.status import Report, report, table
from chattifier.supervisor import Supervisor

STARTS_WITHIN = 900.0
STOPS_WITHIN = 120.0


def data_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which stack: `--data`, handed to the command as a Layout."""
    option = click.option(
        "--data",
        "layout",
        default=".chattifier",
        envvar="CHATTIFIER_DATA",
        show_default=True,
        callback=lambda _context, _parameter, value: Layout(Path(value).absolute()),
        help="The folder of the stack: data, logs, keys, run state.",
    )
    return option(function)


def _parse_only(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return ALL
    names = tuple(name.strip() for name in value.split(","))
    unknown = [name for name in names if name not in ALL]
    if unknown:
        raise click.BadParameter(f"no such part: {', '.join(unknown)}. There are {', '.join(ALL)}.")
    return names


@click.command()
@data_option
@click.option("--detach", is_flag=True, help="Return when everything is ready; it goes on in the background.")
@click.option(
    "--port-base", type=click.IntRange(1024, 65000), help="Use this port and those after it, instead of the usual ones."
)
@click.option(
    "--parallelism", default=2, show_default=True, type=click.IntRange(1, 16), help="Instances of each function."
)
@click.option("--gateways", default=2, show_default=True, type=click.IntRange(1, 8))
@click.option("--only", callback=_parse_only, help=f"Start only these parts, comma separated: {','.join(ALL)}.")
@click.option(
    "--cache", default="~/.cache/chattifier", envvar="CHATTIFIER_CACHE", show_default=True, help="Folder of downloads."
)
@click.option("--supervise", is_flag=True, hidden=True, help="Be the background process of --detach.")
def up(
    layout: Layout,
    detach: bool,
    port_base: int | None,
    parallelism: int,
    gateways: int,
    only: tuple[str, ...],
    cache: str,
    supervise: bool,
) -> None:
    """Start everything on this machine, in order, and keep it running until Ctrl-C."""
    stack = Stack(layout, Cache(Path(cache).expanduser()), Ports.plan(port_base, gateways), only, parallelism)
    console = Console(stderr=True)
    if not supervise:
        stack.prepare(console)
    if detach:
        _detach(layout, console)
    else:
        _run(stack, console)


def _run(stack: Stack, console: Console) -> None:
    """Supervise in this process."""
    screen = Screen(console)
    with locked(stack.layout), screen.shown():
        supervisor = Supervisor(stack.stages(), stack.initial_state, stack.layout.run_file, screen)
        supervisor.run(when_up=lambda: console.print(table(stack.layout, _state(stack.layout))))


def _detach(layout: Layout, console: Console) -> None:
    """Start the same command as a process of its own, and show its progress until all is ready."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    log, before = layout.log("supervisor"), read(layout.run_file)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "chattifier", *arguments, "--supervise"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, "CHATTIFIER_DATA": str(layout.root)},
        )
    with Screen(console).shown() as screen:
        state = _await_up(process, layout, before, screen)
    console.print(table(layout, state))


def _await_up(process: subprocess.Popen[bytes], layout: Layout, before: RunState | None, screen: Screen) -> RunState:
    """`before`: what the last one left."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        state = read(layout.run_file)
        if state == before:
            state = None
        if state is not None and (state.supervisor is None or state.supervisor.pid == process.pid):
            screen.changed_all(state.entries)
            if state.up and not ended:
                return state
        if ended:
            cause = state.failure if state is not None and state.failure else last_lines(layout.log("supervisor"), 1)
            raise PartFailed(cause if isinstance(cause, str) else "".join(cause) or "The supervisor ended at once.")
        time.sleep(0.1)
    process.terminate()
    raise PartFailed(f"The stack was not up after {STARTS_WITHIN:.0f} s (log: {layout.log('supervisor')}).")


def running(layout: Layout, otherwise: str = "") -> Report:
    """Where the parts of the local stack are, which runs now. Raises StackError; `otherwise`: what else there is to do.

    Without its supervisor it is none: somebody else's stack may have its ports by now.
    """
    state = read(layout.run_file)
    if state is None or not (state.up and state.supervised):
        what = f"start one with `chattifier up`{otherwise and f', or give {otherwise}'}"
        raise StackError(f"No stack is running on {layout.root}: {what}.")
    return report(layout, state)


def _state(layout: Layout) -> RunState:
    state = read(layout.run_file)
    if state is None:
        raise StackError(f"No stack was ever started on {layout.root}.")
    return state


@click.command()
@data_option
def down(layout: Layout) -> None:
    """Stop the stack, in reverse order. The data stays."""
    console = Console(stderr=True)
    state = read(layout.run_file)
    if state is None or not state.supervised or state.supervisor is None:
        left = clear(state) if state is not None else []
        console.print(f"Stopped what was left: {', '.join(left)}." if left else "Nothing is running.")
        return
    supervisor = state.supervisor
    os.kill(supervisor.pid, 15)
    with Screen(console).shown() as screen:
        screen.known(state.entries)
        deadline = time.monotonic() + STOPS_WITHIN
        while supervisor.alive and time.monotonic() < deadline:
            screen.changed_all(_state(layout).entries)
            time.sleep(0.1)
        screen.changed_all(_state(layout).entries)
    processes.stop(supervisor, within=0)
    clear(_state(layout))


@click.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(layout: Layout, as_json: bool) -> None:
    """Show where everything listens and whether it runs. Exit code 1 if it does not."""
    state = _state(layout)
    if as_json:
        click.echo(report(layout, state).model_dump_json(indent=2))
    else:
        Console().print(table(layout, state))
    if not (state.up and state.supervised):
        raise SystemExit(1)


@click.command()
@data_option
@click.argument("part", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on showing what is written.")
@click.option("-n", "--lines", default=20, show_default=True, help="Lines of each log to show first.")
def logs(layout: Layout, part: str | None, following: bool, lines: int) -> None:
    """Show the logs of one part, or of all."""
    paths = {name: Path(entry.log) for name, entry in report(layout, _state(layout)).parts.items()}
    # A function's name stands for all its instances, "gateway" for all gateways.
    chosen = {name: path for name, path in paths.items() if part in (None, name, name.rpartition("-")[0])}
    if not chosen:
        raise StackError(f"No part {part}. There are {', '.join(paths)}.")
    width = max(map(len, chosen))
    for name, path in chosen.items():
        for line in last_lines(path, lines):
            click.echo(f"{name:{width}} | {line}")
    if following:
        for name, line in follow(chosen):
            click.echo(f"{name:{width}} | {line}")


@click.command()
@data_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(layout: Layout, yes: bool) -> None:
    """Throw the data of a stopped stack away: accounts, messages, keys, logs."""
    state = read(layout.run_file)
    if state is not None and state.supervised:
        raise StackError("The stack runs: stop it first with `chattifier down`.")
    if state is None:
        raise StackError(f"There is no stack at {layout.root}.")
    with locked(layout):  # also while it asks
        if not yes:
            click.confirm(f"Delete everything in {layout.root}?", abort=True)
        clear(state)
        shutil.rmtree(layout.root)

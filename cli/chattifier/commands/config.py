"""`chattifier config show|apply|history|follow`."""

from __future__ import annotations

import getpass
import json
import os
import signal
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chattifier import config_files, config_topic
from chattifier.commands.broker import broker, broker_options
from chattifier.config_files import Wanted
from chattifier.config_follow import Follower
from chattifier.config_topic import Change, History, Origin
from chattifier.layout import Layout
from chattifier.pulsar_client import connected
from chattifier.repository import Repository
from pulsar_data.config import GROUPS, Published

SHORT = 12
"""Characters of a commit that people see."""


@click.group()
def config() -> None:
    """Settings that change while everything runs: limits, mostly. docs/settings.md has them all."""


@config.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@broker_options
def apply(paths: tuple[Path, ...], layout: Layout, service_url: str | None, token: str | None) -> None:
    """Check files of settings and publish what they change. All of them are good, or nothing happens.

    A folder is the whole: a group that it has no file of goes back to what each part was started with. A file is its
    group alone.
    """
    wanted = config_files.read(paths)
    origin = Origin(config_topic.hashed(wanted), " ".join(str(path) for path in paths), _user())
    with connected(broker(layout, service_url, token)) as client:
        changes = {change.published.group: change for change in config_topic.publish(client, wanted, origin)}
    for group in [*wanted.values, *(group for group in changes if group not in wanted.values)]:
        click.echo(f"{group}: {_changed(changes[group]) if group in changes else 'unchanged'}")


@config.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@broker_options
def show(as_json: bool, layout: Layout, service_url: str | None, token: str | None) -> None:
    """Show what is in force, since when, and where it came from."""
    history = _read(layout, service_url, token, compacted=True)
    if as_json:
        click.echo(json.dumps({group: _group(group, history.last.get(group)) for group in GROUPS}, indent=2))
        return
    console = Console(highlight=False)
    for group, kind in GROUPS.items():
        last = history.last.get(group)
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, field in kind.model_fields.items():
            given = last.values.get(name) if last else None
            started = f"as started (default {_value(field.default)})"
            table.add_row(f"  {name}", started if given is None else _value(given))
        console.print(f"[bold]{group}[/bold]  {escape(_origin(last))}", table)


@config.command()
@broker_options
def history(layout: Layout, service_url: str | None, token: str | None) -> None:
    """Show every version there was, the oldest first: when, from where, by whom, what it changed."""
    table = Table("when", "version", "group", "by", "from", "changed", box=None, header_style="bold")
    for change in _read(layout, service_url, token, compacted=False).changes():
        one = change.published
        row = (_time(one.time), one.version[:SHORT], one.group, one.by, one.source, _changed(change))
        table.add_row(*map(escape, row))
    Console(highlight=False).print(table if table.row_count else "Nothing was ever published.")


@config.command()
@click.argument("git_url", envvar="CHATTIFIER_CONFIG_GIT_URL")
@click.option("--branch", default="main", envvar="CHATTIFIER_CONFIG_BRANCH", show_default=True)
@click.option(
    "--path", "place", default="k8s/config", envvar="CHATTIFIER_CONFIG_PATH", show_default=True,
    help="The folder of the settings in the repository.",
)  # fmt: skip
@click.option(
    "--interval", default=3.0, envvar="CHATTIFIER_CONFIG_INTERVAL", show_default=True,
    type=click.FloatRange(0.1, 3600), help="Seconds between two looks at it.",
)  # fmt: skip
@click.option(
    "--alive", type=click.Path(dir_okay=False, path_type=Path), help="A file to touch after each, for probes."
)
@broker_options
def follow(
    git_url: str, branch: str, place: str, interval: float, alive: Path | None, layout: Layout, service_url: str | None,
    token: str | None,
) -> None:  # fmt: skip
    """Publish what a branch of a git repository says, from now on.

    What is broken there is refused, and the last good settings stay. A password in GIT_URL is best given by the
    environment, CHATTIFIER_CONFIG_GIT_URL.
    """
    address = broker(layout, service_url, token)

    def publish(wanted: Wanted, origin: Origin) -> list[Change]:
        with connected(address, silent=True) as client:  # why it failed is in our own line, and every line is JSON
            return config_topic.publish(client, wanted, origin)

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="chattifier-config-") as folder:
        repository = Repository(Path(folder) / "repository", git_url, branch)
        Follower(repository, place.strip("/"), publish, alive).run(stop, interval)


def _read(layout: Layout, service_url: str | None, token: str | None, *, compacted: bool) -> History:
    with connected(broker(layout, service_url, token)) as client:
        found = config_topic.read(client, compacted=compacted)
    if found.unread:
        click.echo(f"{found.unread} messages are broken, or of a later version of chattifier.", err=True)
    return found


def _group(group: str, last: Published | None) -> dict[str, Any]:
    """A group for programs. What is not among `values` is as each part was started, by default as in `defaults`."""
    defaults = {name: field.default for name, field in GROUPS[group].model_fields.items()}
    if last is None:
        return {"version": None, "since": None, "source": None, "by": None, "values": {}, "defaults": defaults}
    since = datetime.fromtimestamp(last.time / 1000, UTC).isoformat()
    origin = {"version": last.version, "since": since, "source": last.source, "by": last.by}
    return {**origin, "values": last.values, "defaults": defaults}


def _origin(last: Published | None) -> str:
    if last is None:
        return "as started"
    return f"{last.version[:SHORT]}, since {_time(last.time)}, from {last.source} by {last.by}"


def _changed(change: Change) -> str:
    return ", ".join(f"{name} {_value(old)} → {_value(new)}" for name, old, new in change.differences)


def _value(value: object) -> str:
    return "as started" if value is None else json.dumps(value)


def _time(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user has no name
        return f"uid {os.getuid()}"

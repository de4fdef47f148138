"""`chattifier deploy` and `chattifier package`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click
from pydantic import JsonValue
from rich.console import Console

from chattifier import package as function_package
from chattifier import topics
from chattifier.artifacts import pinned
from chattifier.commands.access import pulsar_ca_file, pulsar_option
from chattifier.downloads import Cache
from chattifier.functions import Deployment, UserConfig, traces
from chattifier.package import Sources
from chattifier.progress import downloading
from chattifier.pulsar_admin import PulsarAdmin
from chattifier.topics import Admin
from pulsar_data.topics import FUNCTIONS, SEARCH_INDEX

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _parse_settings(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, JsonValue]:
    pairs = [value.partition("=") for value in values]
    try:
        return {name: json.loads(text) for name, _, text in pairs}
    except ValueError as error:
        raise click.BadParameter("wanted is name=JSON, such as batch=100") from error


@click.command()
@click.option(
    "--admin-url", required=True, envvar="CHATTIFIER_PULSAR_ADMIN_URL", help="http://host:8080 of any broker."
)
@click.option("--service-url", required=True, envvar="CHATTIFIER_PULSAR_URL", help="pulsar://host:6650 of any broker.")
@click.option("--token", envvar="CHATTIFIER_PULSAR_TOKEN", help="For the admin API; better given by the environment.")
@click.option(
    "--cassandra",
    required=True,
    envvar="CHATTIFIER_CASSANDRA",
    help="host:port[,host:port], as the functions reach it.",
)
@click.option("--keyspace", default="chat", envvar="CHATTIFIER_KEYSPACE", show_default=True)
@click.option(
    "--redis-url", envvar="CHATTIFIER_REDIS_URL", help="As the functions reach it. Or give --redis-of-worker."
)
@click.option("--parallelism", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option(
    "--set", "settings", multiple=True, callback=_parse_settings, help="name=JSON: another of their settings."
)
@click.option(
    "--functions", type=FOLDER, help="Folder of chat_functions and its configs, instead of the installed ones."
)
@click.option("--with-deps", type=FILE, help="Hashed requirements to pack as wheels (locks/functions.txt).")
@click.option("--search/--no-search", default=True, help="Whether to deploy search-index: search is optional.")
@click.option("--wait", default=0, help="Seconds to wait for Pulsar and its functions worker to answer at all.")
@click.option("--cache", default="~/.cache/chattifier", envvar="CHATTIFIER_CACHE", show_default=True)
@click.option(
    "--pulsar-home", type=FOLDER, envvar="CHATTIFIER_PULSAR_HOME", help="A Pulsar that is here: no need to fetch one."
)
@click.option(
    "--redis-of-worker",
    is_flag=True,
    help="Do not tell the functions where Redis is: they find CHATTIFIER_REDIS_URL in their worker's environment.",
)
@pulsar_option
def deploy(
    admin_url: str,
    service_url: str,
    token: str | None,
    cassandra: str,
    keyspace: str,
    redis_url: str | None,
    parallelism: int,
    settings: dict[str, JsonValue],
    functions: Path | None,
    with_deps: Path | None,
    search: bool,
    wait: int,
    cache: str,
    pulsar_home: Path | None,
    redis_of_worker: bool,
) -> None:
    """Make namespaces and topics, and create or update the functions, on any Pulsar. Twice is as good as once.

    Where OTEL_ variables name an exporter of traces, the functions are given them.
    """
    if not search:
        settings = {**settings, "search": False}
    settings = {**traces(os.environ), **settings}
    if redis_of_worker:
        redis_url = None
    elif not redis_url:
        raise click.UsageError("Where is Redis? Give --redis-url, or --redis-of-worker.")
    elif urlsplit(redis_url).password or "password" in parse_qs(urlsplit(redis_url).query):
        raise click.UsageError(
            "The password of --redis-url would be in the functions' configuration, and in Pulsar's logs. Give the"
            " worker CHATTIFIER_REDIS_URL in its environment, and this command --redis-of-worker."
        )
    admin = Admin(admin_url.rstrip("/"), token, pulsar_ca_file())
    distribution = pulsar_home or _distribution(Cache(Path(cache).expanduser()))
    config = UserConfig(cassandra=cassandra, keyspace=keyspace, redis_url=redis_url, **settings)
    names = tuple(name for name in FUNCTIONS if search or name != SEARCH_INDEX)
    tool = PulsarAdmin(distribution, admin.url, service_url, token, admin.ca_file)
    topics.await_ready(admin, wait)
    click.echo(topics.ensure(admin))
    if advice := topics.advice(admin):
        click.echo(advice, err=True)
    click.echo(Deployment(tool, admin, Sources.installed(functions), config, parallelism, with_deps, names).run())


@click.command()
@click.option("--out", default="dist", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--functions", type=FOLDER, help="Folder of chat_functions, instead of the installed one.")
@click.option(
    "--with-deps", is_flag=True, help="Pack the wheels of --lock as well, for this machine's Python and libc."
)
@click.option("--lock", default="locks/functions.txt", show_default=True, type=click.Path(path_type=Path))
def package(out: Path, functions: Path | None, with_deps: bool, lock: Path) -> None:
    """Write the zip of the functions."""
    click.echo(function_package.build(Sources.installed(functions), out, lock if with_deps else None))


def _distribution(cache: Cache) -> Path:
    if not cache.pulsar.exists():
        missing = cache.missing(pinned("pulsar"))
        with downloading(Console(stderr=True), sum(artifact.size for artifact in missing)) as bar:
            cache.fetch(missing, lambda count: bar.advance(bar.task_ids[0], count))
    return cache.unpack_pulsar()

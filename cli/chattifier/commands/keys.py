"""`chattifier keys`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from chattifier import cluster_keys
from chattifier.cluster_keys import Namespace


@click.group()
def keys() -> None:
    """The signing keys of a cluster, from inside one of its pods: Secrets, and a ConfigMap of the public halves."""


@keys.command()
def ensure() -> None:
    """Make the keys that are missing, and publish the public halves of all."""
    click.echo(cluster_keys.ensure(Namespace.ours()))


@keys.command()
def rotate() -> None:
    """Publish a new key, which signs five minutes later; the one before the last goes."""
    click.echo(cluster_keys.rotate(Namespace.ours(), datetime.now(UTC)))

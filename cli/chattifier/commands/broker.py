"""Options of commands that talk to Pulsar's broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from chattifier.commands.access import pulsar_ca_file, pulsar_option
from chattifier.commands.stack import data_option, running
from chattifier.layout import Layout
from chattifier.pulsar_client import Broker


def broker_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which Pulsar: that of the local stack of `--data`, or one by address."""
    url = click.option("--service-url", envvar="CHATTIFIER_PULSAR_URL", help="Default: the local stack's.")
    token = click.option("--token", envvar="CHATTIFIER_PULSAR_TOKEN", help="Better given by the environment.")
    return url(token(pulsar_option(data_option(function))))


def broker(layout: Layout, service_url: str | None, token: str | None) -> Broker:
    """What they say. Raises StackError if that is a local stack that does not run."""
    if service_url is not None:
        return Broker(service_url, token, pulsar_ca_file())
    return Broker(running(layout, "--service-url").pulsar.service_url, token)

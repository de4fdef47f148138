"""`chattifier chat`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from chattifier.chat.account import Account
from chattifier.chat.conversation import Conversation
from chattifier.chat.lines import lines
from chattifier.chat.terminal import Terminal
from chattifier.chat.wire import Wire
from chattifier.commands.stack import running
from chattifier.errors import ChattifierError
from chattifier.layout import Layout


@click.command()
@click.option("--user", required=True, help="User name.")
@click.option("--sign-up", is_flag=True, help="Make the account first.")
@click.option("--room", help="Open this room: an id, or the beginning of a name.")
@click.option(
    "--data", default=".chattifier", envvar="CHATTIFIER_DATA", show_default=True, help="A local stack's folder."
)
@click.option("--auth", help="Where user-auth is, instead of a local stack's: http://host:port")
@click.option("--gateway", help="Where a gateway is: ws://host:port/connection/websocket")
def chat(user: str, sign_up: bool, room: str | None, data: str, auth: str | None, gateway: str | None) -> None:
    """Talk in the terminal: lines are said in the open room, /help tells the rest.

    The password is taken from CHATTIFIER_PASSWORD, or asked for.
    """
    if auth is None and gateway is None:
        auth, gateway = running(Layout(Path(data).absolute()), "--auth and --gateway").entrance
    if auth is None or gateway is None:  # a password must not go where nobody said
        raise click.UsageError("Give both of --auth and --gateway, or none: the local stack.")
    password = os.environ.get("CHATTIFIER_PASSWORD") or click.prompt("Password", hide_input=True)
    try:
        asyncio.run(_chat(Account(auth, user), password, gateway, room, sign_up=sign_up))
    except* ChattifierError as errors:
        raise _first(errors) from None


async def _chat(account: Account, password: str, gateway: str, room: str | None, *, sign_up: bool) -> None:
    if sign_up:
        await account.sign_up(password)
    await account.sign_in(password)
    wire, typed = Wire(gateway, account), lines()
    with typed.shared():
        await Terminal(wire, Conversation(wire, account.user, _show), typed, _show).run(room)
    await account.sign_out()


def _show(line: str) -> None:
    """To whatever standard output is now: the line editor puts its own in front of it."""
    click.echo(line)


def _first(errors: BaseExceptionGroup[ChattifierError]) -> ChattifierError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found

"""`chattifier chat`: the terminal client on the real stack."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.running_stack import Stack

from .terminal import Cable, chat


@pytest.fixture
def user() -> str:
    """A name that nobody has."""
    return f"t-{secrets.token_hex(6)}"


@pytest.fixture
def cable(stack: Stack) -> Iterator[Cable]:
    """The way to the first gateway."""
    address = urlsplit(stack.gateways[0])
    assert address.hostname and address.port
    cable = Cable(address.hostname, address.port)
    yield cable
    cable.close()


def test_lines_are_said_and_commands_change_what_was_said(stack: Stack, user: str) -> None:
    with chat(stack.data, user, "--sign-up") as terminal:
        terminal.type("/new Diary", "hello", "/edit 1 hello, world", "/react 1 👍", "/reply 1 indeed", "/nonsense")
        terminal.shows(rf"\[1\] \d\d:\d\d {user}: hello\n")
        terminal.shows(rf"{user} edited \[1\]: hello, world\n")
        terminal.shows(rf"{user} reacted 👍 to \[1\]\n")
        terminal.shows(r"\[2\] .*: ↩1 indeed\n")
        terminal.shows(r"! There is no /nonsense: see /help\.\n")
        terminal.type("/quit")
        assert terminal.ended() == 0
    with chat(stack.data, user, "--room", "Diary") as again:
        again.shows(r"Diary: 0 unread\n\[1\] .*: hello, world \(edited\) 👍1\n\[2\] .*: ↩1 indeed\n")


def test_it_tells_of_a_lost_connection_and_shows_what_was_missed_once(stack: Stack, user: str, cable: Cable) -> None:
    gateway = f"ws://127.0.0.1:{cable.port}/connection/websocket"
    with chat(stack.data, user, "--sign-up", "--auth", stack.auth, "--gateway", gateway) as terminal:
        terminal.type("/new Away", "before")
        terminal.shows(r"\[1\] .*: before\n")
        with chat(stack.data, user, "--room", "Away") as other:
            other.shows(r"\[1\] .*: before\n")
            cable.cut()
            terminal.shows(r"connection lost .*: reconnecting")
            other.type("missed 1", "missed 2")
            other.shows(r"\[3\] .*: missed 2\n")
        terminal.type("said while away")
        cable.mend()
        terminal.shows(r"(?s)lost.*connected\n.*\[2\] .*: missed 1\n\[3\] .*: missed 2\n\[4\] .*said while away\n")
        assert terminal.text.count("missed 1") == terminal.text.count("said while away") == 1


def test_a_person_at_a_terminal_types_with_a_line_editor(stack: Stack, user: str) -> None:
    """It keeps what is printed apart from what is typed."""
    with chat(stack.data, user, "--sign-up", on_terminal=True) as terminal:
        terminal.shows("connected")
        terminal.type("/new Typed\r")
        terminal.shows("Typed: 0 unread")
        terminal.type("by hand\r")
        terminal.shows(rf"\[1\] \d\d:\d\d {user}: by hand")
        terminal.type("/quit\r")
        assert terminal.ended() == 0


def test_a_wrong_password_is_one_clear_line(stack: Stack, user: str) -> None:
    with chat(stack.data, user) as terminal:
        terminal.shows(r"^Error: /user/login was refused: .+\n$")
        assert terminal.ended() == 1

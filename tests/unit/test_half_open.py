"""Connections that libraries open: the kernel gives them up where nobody acknowledges anything."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator

import pytest

from pulsar_data.half_open import Bounds

SECONDS, MILLISECONDS = 7.5, 7500


@pytest.fixture
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            yield client, accepted


def _bound(connection: socket.socket) -> int:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def test_a_connection_is_bounded_and_stays_as_it_was(connected: tuple[socket.socket, socket.socket]) -> None:
    client, server = connected
    Bounds(SECONDS).look()
    assert _bound(client) == MILLISECONDS
    client.sendall(b"hello")
    assert server.recv(5) == b"hello"


def test_who_has_a_bound_keeps_it(connected: tuple[socket.socket, socket.socket]) -> None:
    client, server = connected
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1234)
    Bounds(SECONDS).look()
    assert (_bound(client), _bound(server)) == (MILLISECONDS, 1234)


def test_what_is_opened_later_is_bounded_too_under_the_number_of_one_that_was_closed() -> None:
    bounds = Bounds(SECONDS)
    with socket.create_server(("127.0.0.1", 0)) as server:
        first = socket.create_connection(server.getsockname())
        bounds.look()
        with socket.create_connection(server.getsockname()) as opened:
            os.dup2(opened.fileno(), first.fileno())  # closes it; the number is that of the other one
        with first as second:
            assert _bound(second) == 0
            bounds.look()
            assert _bound(second) == MILLISECONDS


def test_other_files_and_sockets_are_left_alone() -> None:
    one, other = socket.socketpair()
    with one, other, tempfile.TemporaryFile() as file, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        one.setblocking(False)
        Bounds(SECONDS).look()
        one.sendall(b"x")
        assert other.recv(1) == b"x"
        file.write(b"x")
        assert [os.get_blocking(each.fileno()) for each in (one, other, datagrams)] == [False, True, True]


def test_who_comes_in_has_the_bound_of_who_let_them_in() -> None:
    """Not ours: a server knows best."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        Bounds(SECONDS).look()
        assert _bound(server) == 0

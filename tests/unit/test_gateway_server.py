"""The listening socket of a gateway."""

from __future__ import annotations

import socket

from socket_gateway.server import bind


def test_accepted_sockets_do_not_wait_for_acknowledgements_before_they_send() -> None:
    with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

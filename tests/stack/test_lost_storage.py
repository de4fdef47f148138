"""Whether a Pulsar has lost its storage: what it says of its bookies, and whether they are there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from chattifier.parts.pulsar import has_lost_its_storage
from tests.http_server import Quiet, http_server
from tests.running_stack import free_ports


@contextmanager
def _pulsar(ports: Sequence[int]) -> Iterator[str]:
    """The admin address of one that has these bookies."""
    answer = json.dumps({"bookies": [{"bookieId": f"127.0.0.1:{port}"} for port in ports]}).encode()

    class Admin(Quiet):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/admin/v2/bookies/all" else 404)
            self.end_headers()
            self.wfile.write(answer)

    with http_server(Admin) as url:
        yield url


def test_one_bookie_that_answers_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bookie, _pulsar([free_ports(1), bookie.getsockname()[1]]) as admin:
        assert not has_lost_its_storage(admin)


def test_none_that_answers_is_lost() -> None:
    with _pulsar([free_ports(1)]) as admin:
        assert has_lost_its_storage(admin)


def test_a_pulsar_that_says_nothing_has_lost_nothing() -> None:
    """It starts, or is busy."""
    assert not has_lost_its_storage(f"http://127.0.0.1:{free_ports(1)}")

"""A function instance as the local stack starts it."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack, suppress

import pytest

from chattifier.function_process import listening, patient
from tests.running_stack import Stack, free_ports

from .eventually import eventually
from .instance_ports import given, has_its_own, taken

BACK_WITHIN = 60.0
TAKEN_WITHIN = 5.0


def test_an_instance_is_patient_with_a_worker_that_stands_still() -> None:
    """The worker's interval of a second is raised, wherever it stands; everything else stays."""
    argv = ["main.py", "--expected_healthcheck_interval", "1", "--cluster_name", "c"]
    assert patient(argv) == ["main.py", "--expected_healthcheck_interval", "60", "--cluster_name", "c"]
    assert patient(["main.py", "--cluster_name", "c"]) == ["main.py", "--cluster_name", "c"]


def test_an_instance_takes_another_port_where_somebody_has_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    """Nobody asks it for its health there: it does not wait for that. Free ports are as the worker gave them."""
    free = str(free_ports(1))
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        busy = str(somebody.getsockname()[1])
        assert listening(_argv(free, busy)) == _argv(free, "0")
        assert listening(_argv(busy, free)) == _argv("0", free, "0")
    said = capfd.readouterr().err.splitlines()
    assert [f"port {busy} is taken" in line for line in said] == [True, True]
    assert listening(["main.py"]) == ["main.py"]


def test_an_instance_that_was_given_one_port_twice_takes_another() -> None:
    """The worker picks them one after the other, and holds none."""
    one = str(free_ports(1))
    assert listening(_argv(one, one)) == _argv(one, "0")


def test_what_died_with_an_instance_is_no_hindrance_to_the_next() -> None:
    """Its side of the worker's connection waits for a minute (TIME_WAIT)."""
    port = free_ports(1)
    with socket.create_server(("127.0.0.1", port)) as instance, socket.create_connection(("127.0.0.1", port)) as worker:
        accepted, _ = instance.accept()
        accepted.close()  # first, as a killed one's is
        assert worker.recv(1) == b""
    with socket.socket() as strict, pytest.raises(OSError, match="in use"):
        strict.bind(("127.0.0.1", port))
    own = _argv(str(port), str(free_ports(1)))
    assert listening(own) == own


def test_an_instance_whose_ports_were_taken_while_it_was_dead_listens_on_others(stack: Stack) -> None:
    """Its worker starts it with the same ones again. Where it listens on none, it is ended every three minutes."""
    assert eventually(lambda: bool(_on_their_own(stack)), BACK_WITHIN), "none listens where it should"
    instance = _on_their_own(stack)[0]
    own = given(stack.pid(instance))
    with ExitStack() as somebody:
        assert any(_take_at_death(stack.pid(instance), own, somebody) for _ in range(3)), "its ports stay taken"
        assert eventually(lambda: len(taken(stack.pid(instance))) == 2, BACK_WITHIN), "it listens on none"
        assert not taken(stack.pid(instance)) & own
        assert given(stack.pid(instance)) == own
    _kill(stack.pid(instance))
    assert eventually(lambda: has_its_own(stack.pid(instance)), BACK_WITHIN), "it does not come back to its own"


def _on_their_own(stack: Stack) -> list[str]:
    """One that has just been started listens in a while; one that shares a port since Pulsar started never does."""
    return [part for part in ("archive-0", "archive-1") if has_its_own(stack.pid(part))]


def _kill(pid: int) -> None:
    assert pid, "it is not there"
    os.kill(pid, signal.SIGKILL)


def _take_at_death(pid: int, ports: set[int], somebody: ExitStack) -> bool:
    """As soon as the kernel has let go of them. The worker sees the death within a second; the next may be faster."""
    left = set(ports)

    def all_taken() -> bool:
        for port in tuple(left):
            with suppress(OSError):
                somebody.enter_context(socket.create_server(("", port)))
                left.remove(port)
        return not left

    _kill(pid)
    if not eventually(all_taken, TAKEN_WITHIN):
        somebody.close()
    return not left


def _argv(port: str, metrics: str, interval: str = "1") -> list[str]:
    return ["main.py", "--port", port, "--metrics_port", metrics, "--expected_healthcheck_interval", interval]

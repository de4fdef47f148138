"""A function instance as the local stack starts it."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack, suppress

import psutil
import pytest

from chattifier.function_process import METRICS_PORT, PORT, listening, patient
from tests.running_stack import Stack, free_ports

from .eventually import eventually

INSTANCE = "archive-0"
BACK_WITHIN = 60.0


def test_an_instance_is_patient_with_a_worker_that_stands_still() -> None:
    """The worker's interval of a second is raised, wherever it stands; everything else stays."""
    argv = ["main.py", "--expected_healthcheck_interval", "1", "--cluster_name", "c"]
    assert patient(argv) == ["main.py", "--expected_healthcheck_interval", "60", "--cluster_name", "c"]
    assert patient(["main.py", "--cluster_name", "c"]) == ["main.py", "--cluster_name", "c"]


def test_an_instance_takes_another_port_where_somebody_has_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    """Nobody asks it for its health there: it does not wait for that. Free ports are as the worker gave them."""
    free = str(free_ports(1))
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        taken = str(somebody.getsockname()[1])
        assert listening(_given(free, taken)) == _given(free, "0")
        assert listening(_given(taken, free)) == _given("0", free, "0")
    said = capfd.readouterr().err.splitlines()
    assert [f"port {taken} is taken" in line for line in said] == [True, True]
    assert listening(["main.py"]) == ["main.py"]


def test_an_instance_that_was_given_one_port_twice_takes_another() -> None:
    """The worker picks them one after the other, and holds none."""
    one = str(free_ports(1))
    assert listening(_given(one, one)) == _given(one, "0")


def test_what_died_with_an_instance_is_no_hindrance_to_the_next() -> None:
    """Its side of the worker's connection waits for a minute (TIME_WAIT)."""
    port = free_ports(1)
    with socket.create_server(("127.0.0.1", port)) as instance, socket.create_connection(("127.0.0.1", port)) as worker:
        accepted, _ = instance.accept()
        accepted.close()  # first, as a killed one's is
        assert worker.recv(1) == b""
    with socket.socket() as strict, pytest.raises(OSError, match="in use"):
        strict.bind(("127.0.0.1", port))
    own = _given(str(port), str(free_ports(1)))
    assert listening(own) == own


def test_an_instance_whose_ports_were_taken_while_it_was_dead_listens_on_others(stack: Stack) -> None:
    """Its worker starts it with the same ones again. Where it listens on none, it is ended every three minutes."""
    own = _wanted(_pid(stack))
    with ExitStack() as somebody:
        _take(own, _killed(stack), somebody)
        assert eventually(lambda: len(_ports(_pid(stack))) == len(own), BACK_WITHIN), "it listens on none"
        assert not _ports(_pid(stack)) & own
        assert _wanted(_pid(stack)) == own
    _killed(stack)
    assert eventually(lambda: _ports(_pid(stack)) == own, BACK_WITHIN), "it does not come back to its own"


def _pid(stack: Stack) -> int:
    return stack.parts[INSTANCE].pid or 0


def _killed(stack: Stack) -> int:
    pid = _pid(stack)
    os.kill(pid, signal.SIGKILL)
    return pid


def _wanted(pid: int) -> set[int]:
    argv = psutil.Process(pid).cmdline()
    return {int(argv[argv.index(option) + 1]) for option in (PORT, METRICS_PORT)}


def _take(ports: set[int], of: int, taken: ExitStack) -> None:
    """As soon as the kernel has let go of them: the worker sees the death within a second."""
    left = set(ports)

    def all_taken() -> bool:
        for port in tuple(left):
            with suppress(OSError):
                taken.enter_context(socket.create_server(("", port)))
                left.remove(port)
        return not left

    assert eventually(all_taken), f"{of} keeps {left}"


def _ports(pid: int) -> set[int]:
    """Those on which it listens; none while there is no such process."""
    with suppress(psutil.Error):
        connections = psutil.Process(pid).net_connections("tcp")
        return {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}
    return set()


def _given(port: str, metrics: str, interval: str = "1") -> list[str]:
    return ["main.py", "--port", port, "--metrics_port", metrics, "--expected_healthcheck_interval", interval]

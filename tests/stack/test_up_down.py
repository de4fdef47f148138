"""`up`, `down`, `status`, `logs` and `reset`, on the part of a stack that starts fastest."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from chattifier.processes import Identity, identify, wait_gone
from tests.running_stack import free_ports, started

from .command import Command
from .eventually import eventually

ADDRESSES = {"auth", "gateways", "edge", "web", "pulsar", "cassandra", "redis", "parts"}


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """The command on an empty folder; whatever it started is stopped at the end."""
    command = Command(tmp_path / "data")
    yield command
    command.run("down")


def _up(command: Command, base: int, only: str = "redis") -> None:
    done = command.run("up", "--detach", "--only", only, "--port-base", str(base))
    assert done.code == 0, done.err


def _identity(command: Command, part: str) -> Identity:
    identity = identify(command.pid(part))
    assert identity is not None
    return identity


def test_detached_it_returns_when_all_is_ready_and_down_leaves_nothing_running(command: Command) -> None:
    base = free_ports()
    _up(command, base)
    assert Redis(port=base).ping()
    supervisor = command.state().supervisor
    redis = _identity(command, "redis")
    assert command.run("down").code == 0
    assert not redis.alive
    assert supervisor is not None
    assert not supervisor.alive


def test_status_as_json_has_every_address_and_process(command: Command) -> None:
    base = free_ports()
    _up(command, base)
    done = command.run("status", "--json")
    status = json.loads(done.out)
    assert done.code == 0
    assert set(status) == ADDRESSES
    assert status["redis"] == {"url": f"redis://127.0.0.1:{base}/0"}
    assert status["edge"] is None
    assert set(status["cassandra"]) == {"host", "port", "keyspace"}
    assert set(status["pulsar"]) == {"service_url", "admin_url"}
    log = str(command.data / "logs" / "redis.log")
    assert status["parts"] == {"redis": {"pid": command.pid("redis"), "state": "ready", "log": log}}


def test_status_of_a_stopped_stack_says_so_by_its_exit_code_too(command: Command) -> None:
    _up(command, free_ports())
    command.run("down")
    done = command.run("status", "--json")
    assert done.code == 1
    assert json.loads(done.out)["parts"]["redis"]["state"] == "stopped"
    assert json.loads(done.out)["parts"]["redis"]["pid"] is None


def test_a_second_up_on_the_same_folder_is_refused_and_harms_nothing(command: Command) -> None:
    _up(command, free_ports())
    redis = _identity(command, "redis")
    done = command.run("up", "--detach", "--only", "redis", "--port-base", str(free_ports()))
    assert done.code == 1
    assert "already" in done.err
    assert redis.alive


def test_a_busy_port_is_one_clear_line_and_nothing_is_started(command: Command) -> None:
    base = free_ports()
    with socket.create_server(("127.0.0.1", base + 1)):
        done = command.run("up", "--detach", "--only", "redis,cassandra", "--port-base", str(base))
    assert done.code == 1
    assert done.err.startswith(f"Error: Port {base + 1}, wanted by cassandra, is in use")
    assert str(os.getpid()) in done.err
    assert not (command.data / "run.json").exists()


def test_a_folder_of_other_files_is_not_taken_for_a_stack(command: Command) -> None:
    """Who resets it would delete them."""
    command.data.mkdir()
    (command.data / "thesis").write_text("forty years of work")
    done = command.run("up", "--detach", "--only", "redis", "--port-base", str(free_ports()))
    assert done.code == 1
    assert done.err.startswith(f"Error: The data folder {command.data} has other files")
    assert [path.name for path in command.data.iterdir()] == ["thesis"]


def test_a_part_that_dies_at_the_start_is_named_with_its_cause_and_log_and_the_rest_is_stopped(
    command: Command,
) -> None:
    in_the_way = command.data / "cassandra" / "data"
    in_the_way.parent.mkdir(parents=True)
    (command.data / "lock").touch()  # a stack's, of before
    in_the_way.write_text("a file where Cassandra wants a folder")
    done = command.run("up", "--detach", "--only", "redis,cassandra", "--port-base", str(free_ports()))
    assert done.code == 1
    line = done.err.strip().splitlines()[-1]
    assert line.startswith("Error: cassandra ended with exit code")
    assert str(in_the_way) in line
    assert line.endswith(f"(log: {command.data / 'logs' / 'cassandra.log'})")
    assert {entry.process for entry in command.state().entries.values()} == {None}
    assert command.state().entries["redis"].state == "stopped"


def test_a_part_that_dies_later_is_started_again_and_said_to_be(command: Command) -> None:
    _up(command, free_ports())
    before = command.pid("redis")
    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        entry = command.state().entries["redis"]
        return entry.state == "ready" and entry.process is not None and entry.process.pid != before

    assert eventually(is_back)
    assert "redis restarting was killed by SIGKILL" in (command.data / "logs" / "supervisor.log").read_text()


def test_when_the_supervisor_is_killed_its_parts_end_as_well(command: Command) -> None:
    _up(command, free_ports())
    redis, supervisor = _identity(command, "redis"), command.state().supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert wait_gone(redis, within=10)


def test_in_the_foreground_an_interrupt_stops_everything(tmp_path: Path) -> None:
    command = Command(tmp_path)
    with started(tmp_path, "--only", "redis"):
        redis, supervisor = _identity(command, "redis"), command.state().supervisor
        assert supervisor is not None
        os.kill(supervisor.pid, signal.SIGINT)
        assert wait_gone(redis, within=10)
        assert wait_gone(supervisor, within=10)


def test_logs_show_what_a_part_wrote(command: Command) -> None:
    _up(command, free_ports())
    done = command.run("logs", "redis")
    assert done.code == 0
    assert all(line.startswith("redis | ") for line in done.out.splitlines())
    assert "Ready to accept connections" in done.out
    assert "There are redis" in command.run("logs", "nothing").err


def test_reset_throws_a_stopped_stack_away_and_no_running_one(command: Command) -> None:
    _up(command, free_ports())
    refused = command.run("reset", "--yes")
    assert refused.code == 1
    assert "chattifier down" in refused.err
    command.run("down")
    assert command.run("reset", "--yes").code == 0
    assert not command.data.exists()


def test_commands_act_on_no_stack_whose_supervisor_is_dead(command: Command) -> None:
    """By now another one may have its ports."""
    _up(command, free_ports())
    supervisor = command.state().supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert wait_gone(supervisor, within=10)
    assert command.state().up
    for arguments in (
        ("user", "erase", "ada", "--yes"),
        ("dead-letters", "list"),
        ("config", "show"),
        ("search", "reindex"),
    ):
        done = command.run(*arguments)
        assert done.code == 1
        assert "No stack is running" in done.err, arguments


def test_only_some_addresses_are_not_made_whole_by_the_local_stack(command: Command) -> None:
    for arguments in (
        ("search", "reindex", "--admin-url", "http://127.0.0.1:1"),
        ("chat", "--user", "ada", "--auth", "http://127.0.0.1:1"),
        ("user", "erase", "ada", "--redis-url", "redis://127.0.0.1:1"),
    ):
        done = command.run(*arguments)
        assert (done.code, "or none: the local stack" in done.err) == (2, True), done.err


def test_a_start_that_fails_early_leaves_the_stack_known(command: Command) -> None:
    _up(command, base := free_ports())
    command.run("down")
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", base))
        squatter.listen()
        assert command.run("up", "--detach", "--only", "redis", "--port-base", str(base)).code == 1
    assert "redis" in command.run("status").out
    assert command.run("reset", "--yes").code == 0


def test_a_signing_key_that_cannot_be_read_is_named(command: Command) -> None:
    _up(command, free_ports())
    command.run("down")
    key = next((command.data / "keys").rglob("*.pem"))
    key.write_bytes(b"")
    done = command.run("up", "--detach", "--only", "redis", "--port-base", str(free_ports()))
    assert done.code == 1
    assert key.name in done.err


def test_a_signing_key_outlives_a_restart(command: Command) -> None:
    _up(command, free_ports())
    keys = (command.data / "keys" / "jwks.json").read_text()
    command.run("down")
    _up(command, free_ports())
    assert (command.data / "keys" / "jwks.json").read_text() == keys


def test_a_folder_with_a_space_in_its_path_is_refused_at_once(tmp_path: Path) -> None:
    done = Command(tmp_path / "my data").run("up", "--detach", "--only", "redis")
    assert done.code == 1
    assert "--data" in done.err

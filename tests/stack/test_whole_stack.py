"""The whole stack: what `status` says of it, the demo, the deployment and the dead letters."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pulsar
import pytest

from chattifier import topics as places
from chattifier.function_instances import instances_of
from chattifier.topics import CLASSIC, Admin
from pulsar_data import topics
from pulsar_data.topics import FUNCTIONS
from tests.running_stack import Stack

from .command import Command, Done, run
from .eventually import eventually

SECRET = "what somebody wrote"


@pytest.fixture
def command(stack: Stack) -> Command:
    """The command on the running stack."""
    return Command(stack.data)


@pytest.fixture
def client(stack: Stack) -> Iterator[pulsar.Client]:
    """A client of the stack's Pulsar."""
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    yield client
    client.close()


def test_every_part_runs_and_has_a_log(stack: Stack) -> None:
    instances = {f"{name}-{number}" for name in FUNCTIONS for number in range(instances_of(name, 2))}
    assert (
        set(stack.parts)
        == {"redis", "cassandra", "pulsar", "auth", "gateway-1", "gateway-2", "web", "edge"} | instances
    )
    # One that another test has killed may be on its way back.
    assert eventually(lambda: all(part.state == "ready" for part in stack.parts.values()), within=60)
    for name, part in stack.parts.items():
        assert part.pid is not None, name
        assert psutil.pid_exists(part.pid), name
        assert Path(part.log).exists(), name


def test_the_demo_shows_messages_between_two_gateways_and_in_cassandra(command: Command, stack: Stack) -> None:
    done = command.run("demo")
    assert done.code == 0, done.err
    for name, gateway in zip(("ada", "grace"), stack.gateways, strict=True):
        assert f"{name} signed up, and is connected to {gateway}" in done.out
    assert "heard by both in the same order, and stored" in done.out


def test_a_killed_function_process_is_back_by_itself(stack: Stack) -> None:
    (killed, *_) = stack.pids("archive")
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: killed not in stack.pids("archive") and len(stack.pids("archive")) == 2, within=30)


def test_deploying_the_same_again_changes_nothing(stack: Stack) -> None:
    first = _deploy(stack)  # changes something only on a stack that was started from other sources
    assert first.code == 0, first.err
    before = {name: stack.pids(name) for name in FUNCTIONS}
    done = _deploy(stack)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "unchanged"
    assert {name: stack.pids(name) for name in FUNCTIONS} == before


def test_deploying_says_what_the_brokers_lack(stack: Stack) -> None:
    """Nothing here; if a room could stand still, what to set, and how."""
    admin = Admin(stack.pulsar.admin_url)
    setting = f"/admin/v2/brokers/configuration/{CLASSIC}"
    assert places.advice(admin) is None
    admin.request("POST", f"{setting}/false")
    try:
        assert eventually(lambda: f"Set {CLASSIC}=true" in (places.advice(admin) or ""))
    finally:
        admin.request("POST", f"{setting}/true")
        assert eventually(lambda: places.advice(admin) is None)


def test_deploying_other_code_runs_other_code(stack: Stack, tmp_path: Path) -> None:
    """Every instance has the new sources, and the subscriptions are still there. Afterwards the old code is back."""
    changed = tmp_path / "functions"
    shutil.copytree(Path(__file__).parents[2] / "pulsar-functions", changed)
    mark = f"# {uuid4().hex}\n"
    with (changed / "chat_functions" / "messages.py").open("a") as source:
        source.write(mark)
    download = stack.data / "pulsar" / "download"
    try:
        done = _deploy(stack, "--functions", str(changed))
        assert done.code == 0, done.err
        instances = sum(instances_of(name, 2) for name in FUNCTIONS)

        def all_run_it() -> bool:
            try:
                sources = [path.read_text() for path in download.rglob("chat_functions/messages.py")]
            except FileNotFoundError:  # the worker removes what old instances ran
                return False
            return len(sources) == instances and all(source.endswith(mark) for source in sources)

        assert eventually(all_run_it), "an instance does not have the new sources"
        assert _deploy(stack, "--functions", str(changed)).out.splitlines()[-1] == "unchanged"
    finally:
        assert _deploy(stack).code == 0


def _deploy(stack: Stack, *options: str) -> Done:
    cassandra = f"{stack.cassandra.host}:{stack.cassandra.port}"
    addresses = ("--admin-url", stack.pulsar.admin_url, "--service-url", stack.pulsar.service_url)
    return run("deploy", *addresses, "--cassandra", cassandra, "--redis-url", stack.redis.url, *options)


class TestDeadLetters:
    """`chattifier dead-letters`."""

    @pytest.fixture
    def source(self) -> str:
        """A topic of the test's own that the letters seem to come from."""
        return f"persistent://chat/core/test-{uuid4().hex}"

    @pytest.fixture
    def reason(self, client: pulsar.Client, source: str) -> str:
        """The unique reason of a letter that was buried twice, as happens when an instance dies in between."""
        reason = f"reason-{uuid4().hex}"
        producer = client.create_producer(topics.dead_letters("archive"), batching_enabled=False)
        for attempts in ("5", "6"):
            properties = {
                "reason": reason,
                "attempts": attempts,
                "source-topic": f"{source}-partition-3",
                "source-message-id": "(1,2,3,4)",
                "first-time": "1700000000000",
                "last-time": "1700000001000",
            }
            producer.send(SECRET.encode(), properties=properties, partition_key="some-room")
        producer.close()
        return reason

    def _id(self, command: Command, reason: str) -> str | None:
        done = command.run("dead-letters", "list", "archive")
        assert done.code == 0, done.err
        assert SECRET not in done.out
        lines = [line.split() for line in done.out.splitlines() if reason in line]
        assert len(lines) <= 1, "a letter that was buried twice is one letter"
        return lines[0][1] if lines else None

    def _found(self, command: Command, reason: str) -> str:
        letter = self._id(command, reason)
        assert letter, "it is not in the list"
        return letter

    def test_the_list_shows_each_once_and_dropping_it_takes_it_off(self, command: Command, reason: str) -> None:
        letter = self._found(command, reason)
        assert command.run("dead-letters", "drop", "archive", letter).code == 0
        assert self._id(command, reason) is None

    def test_what_is_in_one_is_shown_only_when_asked_for(self, command: Command, reason: str) -> None:
        letter = self._found(command, reason)
        shown = command.run("dead-letters", "show", "archive", letter)
        assert "some-room" in shown.out
        assert "6" in shown.out
        assert SECRET not in shown.out
        assert SECRET in command.run("dead-letters", "show", "archive", letter, "--payload").out
        assert command.run("dead-letters", "drop", "archive", letter).code == 0

    def test_replaying_puts_it_back_unchanged_under_its_key_and_takes_it_off(
        self, client: pulsar.Client, command: Command, source: str, reason: str
    ) -> None:
        consumer = client.subscribe(source, "test")
        letter = self._found(command, reason)
        done = command.run("dead-letters", "replay", "archive", letter)
        assert done.code == 0, done.err
        message = consumer.receive(timeout_millis=10_000)
        assert (message.data(), message.partition_key()) == (SECRET.encode(), "some-room")
        assert self._id(command, reason) is None
        consumer.close()

    def test_an_unknown_id_is_one_clear_line(self, command: Command) -> None:
        done = command.run("dead-letters", "drop", "archive", "0:0")
        assert done.code == 1
        assert done.err.startswith("Error: There is no dead letter 0:0")

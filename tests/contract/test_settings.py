"""Settings change while everything runs: in force on both gateways and all functions within ten seconds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from chattifier import processes
from chattifier.topics import CONFIG_COMPACTED, FOREVER
from pulsar_data import topics
from pulsar_data.errors import Disconnect, ErrorCode
from pulsar_data.ids import new_key
from tests.clients.device import devices, group
from tests.clients.limits import IN_FORCE, ROOMS, Talk, closed_with
from tests.clients.people import Person, sign_up
from tests.clients.waiting import until
from tests.faults.functions import Functions
from tests.gateway.client import session
from tests.running_stack import Stack
from tests.stack.command import Done, run

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
ADMIN = f"/admin/v2/{topics.CONFIG.replace('://', '/')}"


class Settings:
    """The command, on this stack, with files of the test's own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder

    def command(self, *arguments: str) -> Done:
        """Run `chattifier config`."""
        return run("config", *arguments, "--service-url", self.stack.pulsar.service_url)

    def write(self, group: str, text: str) -> str:
        """A file."""
        path = self.folder / f"{group}.yaml"
        path.write_text(text)
        return str(path)

    def apply(self, group: str, text: str) -> str:
        """Apply one group; what the command says."""
        done = self.command("apply", self.write(group, text))
        assert done.code == 0, done.err
        return done.out.strip()

    async def applied(self, group: str, text: str) -> str:
        """As apply, while sockets are open."""
        return await asyncio.to_thread(self.apply, group, text)

    def shown(self, group: str) -> dict[str, Any]:
        """What is in force of a group."""
        done = self.command("show", "--json")
        assert done.code == 0, done.err
        shown: dict[str, Any] = json.loads(done.out)[group]
        return shown


@pytest.fixture
def settings(stack: Stack, tmp_path: Path) -> Iterator[Settings]:
    """Whatever a test sets, afterwards everything is as it was started."""
    chosen = Settings(stack, tmp_path)
    yield chosen
    empty = tmp_path / "empty"
    empty.mkdir(exist_ok=True)
    (empty / "limits.yaml").write_text("# as started")
    done = chosen.command("apply", str(empty))
    assert done.code == 0, done.err


@asynccontextmanager
async def talking(stack: Stack) -> AsyncIterator[Talk]:
    """Fresh people; ends when the default length is in force again, so that other tests see the defaults."""
    ada, grace = await sign_up(stack.auth, 2)
    async with devices((ada, stack.gateways[0]), (grace, stack.gateways[-1])) as (one, two):
        yield Talk(one, two, [await group(one, two) for _ in range(ROOMS)])


@pytest.fixture
async def talk(stack: Stack, settings: Settings, anyio_backend: str) -> AsyncIterator[Talk]:
    """A talk; afterwards the default length is in force."""
    async with talking(stack) as talk:
        yield talk
        await settings.applied("limits", "# as started")
        await talk.until_all(4000, 0)
        await talk.until_all(4001, ErrorCode.LIMIT_EXCEEDED)


async def test_a_changed_limit_is_in_force_everywhere_within_ten_seconds(
    settings: Settings, talk: Talk, record_property: Any
) -> None:
    """Lowered: refused with 106 through both gateways, whichever instance has the room. Raised: accepted."""
    assert await talk.say(100) == {0}
    took = {}
    for limit, length, code in ((50, 51, ErrorCode.LIMIT_EXCEEDED), (6000, 5999, 0)):
        said = await settings.applied("limits", f"text_limit: {limit}")
        began = time.monotonic()
        await talk.until_all(length, code)
        took[limit] = time.monotonic() - began
        assert said.startswith("limits: text_limit ")
        assert said.endswith(f"→ {limit}")
    record_property("seconds", took)
    print("in force everywhere after", took)
    assert await talk.say(6001) == {ErrorCode.LIMIT_EXCEEDED}


async def test_what_was_accepted_before_a_limit_fell_is_not_refused_when_it_comes_again(
    settings: Settings, talk: Talk
) -> None:
    """The same key gets the first answer, for ever; a new key is refused."""
    device, room = talk.places[0]
    key = new_key(time.time_ns() // 1_000_000)
    first = await device.call("message.send", room=room, text="x" * 60, key=key)
    await settings.applied("limits", "text_limit: 50")
    await talk.until_all(60, ErrorCode.LIMIT_EXCEEDED)
    again = await device.call("message.send", room=room, text="x" * 60, key=key)
    assert again == {**first, "duplicate": True}
    assert await device.refused("message.send", room=room, text="y" * 60, key=key) == ErrorCode.CONFLICT


async def test_a_limit_of_gateways_is_in_force_on_each_and_raised_again(
    stack: Stack, settings: Settings, anyio_backend: str
) -> None:
    """One connection of a user at each gateway, and then as many as ever."""
    (ada,) = await sign_up(stack.auth, 1)
    async with one_connection(stack, settings, ada):
        pass


@asynccontextmanager
async def one_connection(stack: Stack, settings: Settings, person: Person) -> AsyncIterator[None]:
    """While a user may have one connection at each gateway; afterwards that is over everywhere."""
    await settings.applied("gateway", "user_connections: 1")
    await _until_second(stack, person, Disconnect.CONNECTION_LIMIT.code)
    yield
    await settings.applied("gateway", "# as started")
    await _until_second(stack, person, None)


async def _until_second(stack: Stack, person: Person, code: int | None) -> None:
    """Until a second connection is closed with that code, or not at all, on each gateway."""
    for gateway in stack.gateways:
        async with session(gateway, person.token):
            await until(f"the second one gets {code}", partial(closed_with, gateway, person, code), IN_FORCE)


async def test_a_broken_file_is_refused_and_what_was_in_force_stays(settings: Settings, talk: Talk) -> None:
    """And with it every other file of the same call."""
    await settings.applied("limits", "text_limit: 50")
    await talk.until_all(51, ErrorCode.LIMIT_EXCEEDED)
    good, broken = settings.write("limits", "text_limit: 70"), settings.write("gateway", "inflight: none")
    done = await asyncio.to_thread(settings.command, "apply", good, broken)
    assert done.code == 1
    assert done.err == f"Error: {broken}: gateway.inflight is none: it must be a whole number from 1 to 10000.\n"
    assert (await asyncio.to_thread(settings.shown, "limits"))["values"] == {"text_limit": 50}
    assert await talk.say(51) == {ErrorCode.LIMIT_EXCEEDED}


async def test_a_function_that_is_started_after_a_change_has_it_at_once(
    stack: Stack, settings: Settings, talk: Talk
) -> None:
    """Not one longer message is refused by an instance of chat-router that has just begun."""
    await settings.applied("limits", "text_limit: 6000")
    await talk.until_all(5999, 0)
    functions = Functions(stack)
    for number in range(len(stack.pids("chat-router"))):
        await functions.kill("chat-router", number)
        assert await talk.say(5999) == {0}
    await functions.close()


async def test_a_gateway_that_is_started_after_a_change_has_it_at_once(
    stack: Stack, settings: Settings, anyio_backend: str
) -> None:
    """It is not ready before."""
    (ada,) = await sign_up(stack.auth, 1)
    async with one_connection(stack, settings, ada):
        (victim,) = stack.pids("gateway-1")
        os.kill(victim, signal.SIGKILL)
        await until("the gateway is started again", lambda: _is_ready(stack.gateways[0]), 60)
        async with session(stack.gateways[0], ada.token):
            assert await closed_with(stack.gateways[0], ada, Disconnect.CONNECTION_LIMIT.code)


async def _is_ready(gateway: str) -> bool:
    address = gateway.replace("ws://", "http://").replace("/connection/websocket", "/readyz")
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(address)).is_success
    except httpx.TransportError:
        return False


def test_the_command_says_what_is_in_force_and_what_ever_was(settings: Settings) -> None:
    """And what is in force already is not published again."""
    assert settings.apply("limits", "text_limit: 5000\nmeta_limit: 100").startswith(
        "limits: text_limit as started → 5000"
    )
    before = settings.shown("limits")
    assert settings.apply("limits", "meta_limit: 100  # the same\ntext_limit: 5000") == "limits: unchanged"
    assert settings.shown("limits") == before
    assert before["values"] == {"text_limit": 5000, "meta_limit": 100}
    assert before["defaults"]["text_limit"] == 4000
    assert settings.apply("limits", "text_limit: 4500") == "limits: text_limit 5000 → 4500, meta_limit 100 → as started"
    rows = settings.command("history").out.splitlines()
    assert "text_limit 5000 → 4500, meta_limit 100 → as started" in rows[-1]
    assert str(settings.folder / "limits.yaml") in rows[-1]
    shown = [line.split() for line in settings.command("show").out.splitlines()]
    assert ["text_limit", "4500"] in shown
    assert ["meta_limit", "as", "started", "(default", "4096)"] in shown


def test_a_folder_without_a_group_takes_it_back(settings: Settings, tmp_path: Path) -> None:
    """The folder is the whole."""
    settings.apply("gateway", "inflight: 64")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "limits.yaml").write_text("text_limit: 4000")
    assert "gateway: inflight 64 → as started" in settings.command("apply", str(folder)).out
    assert settings.shown("gateway")["values"] == {}


def test_the_topic_is_kept_for_ever_and_compacted(stack: Stack, settings: Settings) -> None:
    """A compacted topic still tells what is in force, and everything that ever was."""
    settings.apply("limits", "text_limit: 4100")
    settings.apply("storing", "store_interval: 40")
    settings.apply("limits", "text_limit: 4200")
    rows = settings.command("history").out.splitlines()
    with httpx.Client(base_url=stack.pulsar.admin_url, trust_env=False, timeout=60) as http:
        assert http.get(f"{ADMIN}/compactionThreshold").json() == CONFIG_COMPACTED
        assert http.get(f"{ADMIN}/retention").json() == FOREVER
        assert http.get(f"{ADMIN}/inactiveTopicPolicies").json()["deleteWhileInactive"] is False
        http.put(f"{ADMIN}/compaction").raise_for_status()
        deadline = time.monotonic() + 60
        while (status := http.get(f"{ADMIN}/compaction").json()["status"]) != "SUCCESS":
            assert status == "RUNNING"
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert settings.shown("limits")["values"] == {"text_limit": 4200}
    assert settings.shown("storing")["values"] == {"store_interval": 40}
    assert settings.command("history").out.splitlines() == rows


class Followed:
    """A repository, and `chattifier config follow` on it."""

    def __init__(self, repository: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self._repository = repository
        self._log = log
        self.process = process

    def commit(self, **files: str) -> str:
        """Commit files of groups; returns the commit."""
        for name, text in files.items():
            path = self._repository / "k8s" / "config" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        _git(self._repository, "add", "--all")
        _git(self._repository, "commit", "--quiet", "--message", "settings")
        return _git(self._repository, "rev-parse", "HEAD")

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    async def said(self, event: str, commit: str) -> dict[str, Any]:
        """Wait until it has said that of a commit."""

        async def has() -> bool:
            return any((line["event"], line.get("commit")) == (event, commit) for line in self.lines())

        await until(f"{event} of {commit}", has, IN_FORCE)
        return next(line for line in self.lines() if (line["event"], line.get("commit")) == (event, commit))


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgSign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def followed(stack: Stack, settings: Settings, tmp_path: Path) -> Iterator[Followed]:
    """An empty repository, followed as in a Deployment: everything from the environment."""
    repository, log = tmp_path / "repository", tmp_path / "follow.log"
    repository.mkdir()
    _git(repository, "init", "--quiet", "--initial-branch=main")
    environment = processes.environment(
        CHATTIFIER_CONFIG_GIT_URL=repository.as_uri(), CHATTIFIER_PULSAR_URL=stack.pulsar.service_url
    )
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "chattifier", "config", "follow"], env=environment, stdout=out, stderr=out
        )
    try:
        yield Followed(repository, process, log)
    finally:
        process.terminate()
        assert process.wait(30) == 0


async def test_a_commit_is_in_force_within_ten_seconds_and_a_broken_one_is_not(
    settings: Settings, followed: Followed, talk: Talk, record_property: Any
) -> None:
    """Measured from the commit. The broken one is told of in the log; the next good one is taken."""
    followed.commit(limits="text_limit: 300")
    await talk.until_all(301, ErrorCode.LIMIT_EXCEEDED, within=30)  # it is just starting
    began = time.monotonic()
    commit = followed.commit(limits="text_limit: 50")
    await talk.until_all(51, ErrorCode.LIMIT_EXCEEDED)
    took = time.monotonic() - began
    record_property("seconds", took)
    print(f"in force everywhere {took:.1f} s after the commit")
    shown = await asyncio.to_thread(settings.shown, "limits")
    assert (shown["version"], shown["by"], shown["values"]) == (commit, "Ada", {"text_limit": 50})
    broken = followed.commit(limits="text_limit: 0")
    refused = await followed.said("config_refused", broken)
    assert refused["file"] == "k8s/config/limits.yaml"
    assert refused["reason"] == "limits.text_limit is 0: it must be a whole number from 1 to 20000"
    assert await talk.say(51) == {ErrorCode.LIMIT_EXCEEDED}
    assert await talk.say(50) == {0}
    better = followed.commit(limits="text_limit: 60")
    await talk.until_all(55, 0)
    assert (await followed.said("config_in_force", better))["level"] == "info"


@pytest.mark.kills_parts
async def test_settings_are_followed_when_pulsar_has_died(stack: Stack, settings: Settings, talk: Talk) -> None:
    """Functions are started anew by it; gateways live on, and read on where they were."""
    await settings.applied("limits", "text_limit: 50")
    await talk.until_all(51, ErrorCode.LIMIT_EXCEEDED)
    (victim,) = stack.pids("pulsar")
    os.kill(victim, signal.SIGKILL)
    functions = Functions(stack)
    await functions.until_pulsar_is_back()
    await functions.close()
    await talk.until_all(51, ErrorCode.LIMIT_EXCEEDED, within=90)
    await settings.applied("limits", "text_limit: 60")
    await talk.until_all(55, 0)
    (ada,) = await sign_up(stack.auth, 1)
    async with one_connection(stack, settings, ada):
        pass

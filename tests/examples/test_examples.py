"""The examples do what they say, as processes of their own on the real stack."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chattifier import processes
from tests.clients.people import Person, sign_up
from tests.clients.talkers import connected, fresh_key, make_room
from tests.clients.waiting import until
from tests.running_stack import Stack
from tests.stack.command import run

EXAMPLES = Path(__file__).parents[2] / "examples"
WITHIN = 60.0

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The clients are asyncio programs."""
    return "asyncio"


@asynccontextmanager
async def running(stack: Stack, folder: Path, name: str, *options: str) -> AsyncIterator[Path]:
    """Start an example; gives the file that it writes to, once it listens."""
    token = run("service-token", "examples", "--data", str(stack.data)).out.strip()
    gateway = stack.gateways[0].replace("ws://", "http://").removesuffix("/connection/websocket")
    argv = (sys.executable, str(EXAMPLES / name), "--pulsar", stack.pulsar.service_url, "--gateway", gateway, *options)
    out = folder / f"{name}.out"
    process = processes.start(argv, processes.environment(CHATTIFIER_SERVICE_TOKEN=token), folder, out)
    try:
        await until(f"{name} listens", lambda: _said(process, out, "ready"), WITHIN)
        yield out
    finally:
        process.kill()
        process.wait()


async def _said(process: subprocess.Popen[bytes], out: Path, text: str) -> bool:
    assert process.poll() is None, _text(out)
    return text in _text(out)


def _text(out: Path) -> str:
    return out.read_text()


async def test_the_bot_answers_once_even_if_it_is_asked_to_answer_again(stack: Stack, tmp_path: Path) -> None:
    """What it does not know it leaves alone."""
    ada, bot = await sign_up(stack.auth, 2)
    async with (
        connected((ada, stack.gateways[0])) as (client,),
        running(stack, tmp_path, "dice_bot.py", "--as", bot.user),
    ):
        room = await make_room([client], bot)
        for text in ("hello", "!roll 2d1"):
            await client.rpc("message.send", {"room": room, "key": fresh_key(), "text": text})

        async def answered() -> bool:
            page = await client.rpc("message.list", {"room": room})
            return [(one["sender"], one["text"]) for one in page["messages"]] == [
                (ada.user, "hello"),
                (ada.user, "!roll 2d1"),
                (bot.user, "🎲 1 + 1 = 2"),
            ]

        await until("the bot's answer", answered, WITHIN)


def test_the_bots_key_and_dice_are_the_same_for_the_same_message() -> None:
    """So that an answer that is sent again is not a second one, nor another."""
    code = """
import json, dice_bot
event = {"type": "message_sent", "key": "k", "time": 1700000000000, "text": "!roll 9d6"}
print(json.dumps([[dice_bot.answer_key(event), dice_bot.answer(event)] for _ in range(2)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=EXAMPLES, capture_output=True, text=True, timeout=60, check=True
    )
    one, other = json.loads(done.stdout)
    assert one == other
    assert one[0].startswith("018bcfe5-6800-7")


async def test_notifications_name_the_members_who_are_not_connected(stack: Stack, tmp_path: Path) -> None:
    """Neither the sender nor those who are there."""
    ada, bob, away = await sign_up(stack.auth, 3)
    async with (
        connected((ada, stack.gateways[0]), (bob, stack.gateways[1])) as clients,
        running(stack, tmp_path, "notify.py", "--redis", stack.redis.url) as out,
    ):
        room = await make_room(clients, bob, away)
        await clients[0].rpc("message.send", {"room": room, "key": fresh_key(), "text": "anybody?"})
        await until("the notification", lambda: _notified(out, room, away), WITHIN)
        lines = [json.loads(line) for line in _text(out).splitlines() if room in line]
        assert lines == [{"user": away.user, "room": room, "seq": 1}]
        assert "anybody" not in _text(out)


async def _notified(out: Path, room: str, person: Person) -> bool:
    return any(room in line and person.user in line for line in _text(out).splitlines())

"""The frames in docs/socket.md are sent and received as they stand there, and every frame fits docs/asyncapi.yaml."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from pulsar_data.rpc import METHODS
from tests.clients.talkers import fresh_key
from tests.running_stack import Stack

from .contract import Contract, document
from .frames import Step, filled, matched, steps
from .people import Reader, sign_up

PAGE = Path(__file__).parents[2] / "docs" / "socket.md"
WITHIN = 30.0


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The gateway's clients are asyncio programs."""
    return "asyncio"


def test_the_page_shows_every_method() -> None:
    sent = [step.frame for step in steps(PAGE) if step.way == ">" and step.frame is not None]
    assert set(METHODS) - {frame["rpc"]["method"] for frame in sent if "rpc" in frame} == set()


@pytest.mark.anyio
async def test_the_frames_on_the_page_are_what_happens(stack: Stack) -> None:
    """Ada is on one gateway and Bob on another."""
    readers = {"ada": sign_up(stack.auth, "ada"), "bob": sign_up(stack.auth, "bob")}
    async with AsyncExitStack() as sockets:
        story = _Story(sockets, dict(zip(readers, stack.gateways, strict=False)), readers)
        for step in steps(PAGE):
            await story.play(step)
    assert story.faults == []


class _Speaker:
    """One socket, and what it got that no line of the page has taken yet."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.got: list[Any] = []

    async def more(self) -> None:
        """Wait for the next text frame."""
        for line in str(await self.connection.recv()).split("\n"):
            if line == "{}":
                await self.connection.send("{}")
            else:
                self.got.append(json.loads(line))


class _Story:
    """Plays a page. `faults`: frames that do not fit the contract."""

    def __init__(self, sockets: AsyncExitStack, gateways: dict[str, str], readers: dict[str, Reader]) -> None:
        self.faults: list[str] = []
        self._sockets = sockets
        self._gateways = gateways
        self._speakers: dict[str, _Speaker] = {}
        self._contract = Contract(document())
        self._sent: dict[tuple[str, int], Any] = {}
        self._names: dict[str, Any] = {}
        for who, reader in readers.items():
            self._names |= {f"<{who}>": reader.user, f"<name of {who}>": reader.name, f"<token of {who}>": reader.token}

    async def play(self, step: Step) -> None:
        """Send the frame, or wait for it."""
        if step.frame is None:
            await self._speakers.pop(step.who).connection.close()
        elif step.way == ">":
            await self._send(step)
        else:
            await self._receive(step)

    async def _send(self, step: Step) -> None:
        if step.who not in self._speakers:
            socket = connect(self._gateways[step.who], compression=None, ping_interval=None, proxy=None)
            self._speakers[step.who] = _Speaker(await self._sockets.enter_async_context(socket))
        for number in range(1, 100):
            self._names.setdefault(f"<key {number}>", fresh_key())
        frame = filled(step.frame, self._names)
        if frame.get("id"):
            self._sent[step.who, frame["id"]] = frame
        await self._speakers[step.who].connection.send(json.dumps(frame))

    async def _receive(self, step: Step) -> None:
        speaker = self._speakers[step.who]
        try:
            async with asyncio.timeout(WITHIN):
                while not self._take(step, speaker):
                    await speaker.more()
        except TimeoutError:
            raise AssertionError(f"in vain: {step.text}\ninstead: {_shown(speaker.got)}") from None

    def _take(self, step: Step, speaker: _Speaker) -> bool:
        """The first frame that fits the line, if there is one. It may stand behind others: no line tells of those."""
        for frame in speaker.got:
            names = matched(step.frame, frame, self._names)
            if names is not None:
                self._names = names
                speaker.got.remove(frame)
                self._judge(step.who, frame)
                return True
        return False

    def _judge(self, who: str, frame: Any) -> None:
        if "id" in frame:
            self.faults += self._contract.answer(self._sent[who, frame["id"]], frame)
        else:
            self.faults += self._contract.push(frame)


def _shown(frames: Sequence[Any]) -> str:
    return "\n         ".join(json.dumps(frame, ensure_ascii=False) for frame in frames) or "nothing"

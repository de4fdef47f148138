"""The official client libraries, unmodified: connect, snapshot, rpc, receive, reconnect and recover."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from centrifuge import Client, ClientEventHandler, ReplyError
from centrifuge.contexts import (
    ConnectedContext,
    ConnectingContext,
    DisconnectedContext,
    ServerPublicationContext,
    ServerSubscribedContext,
)

from socket_gateway.settings import Limits

from .client import session
from .people import Person, key, make_room, say
from .running import running

pytestmark = [pytest.mark.stack, pytest.mark.anyio]
People = tuple[Person, Person, Person]
JS = Path(__file__).parent / "js"


class Ears(ClientEventHandler):
    """Notes what the library tells."""

    def __init__(self) -> None:
        self.connected: list[ConnectedContext] = []
        self.connecting: list[int] = []
        self.disconnected: list[int] = []
        self.subscribed: list[ServerSubscribedContext] = []
        self.heard: list[tuple[str, int]] = []
        self._changed = asyncio.Event()

    async def on_connected(self, ctx: ConnectedContext) -> None:
        """With the snapshot."""
        self.connected.append(ctx)
        self._changed.set()

    async def on_connecting(self, ctx: ConnectingContext) -> None:
        """At first, and again after a close that allows it."""
        self.connecting.append(ctx.code)

    async def on_disconnected(self, ctx: DisconnectedContext) -> None:
        """For good."""
        self.disconnected.append(ctx.code)
        self._changed.set()

    async def on_subscribed(self, ctx: ServerSubscribedContext) -> None:
        """Of a room."""
        self.subscribed.append(ctx)
        self._changed.set()

    async def on_publication(self, ctx: ServerPublicationContext) -> None:
        """In a room."""
        self.heard.append((ctx.channel, ctx.pub.offset))
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to be told."""
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def publication(self, channel: str, offset: int) -> None:
        """Wait for a publication."""
        await self.until(lambda: (channel, offset) in self.heard)


FORMS = pytest.mark.parametrize("form", ["json", "protobuf"])


@asynccontextmanager
async def _client(url: str, token: str, form: str) -> AsyncIterator[tuple[Client, Ears]]:
    ears = Ears()
    client = Client(url, events=ears, token=token, timeout=15, proxy=None, use_protobuf=form == "protobuf")
    await client.connect()
    try:
        await client.ready(timeout=15)
        yield client, ears
    finally:
        await client.disconnect()


async def _call(client: Client, form: str, method: str, data: dict[str, Any]) -> dict[str, Any]:
    """In Protobuf the library hands over what is in `data` as bytes, both ways: it is JSON all the same."""
    if form == "json":
        return (await client.rpc(method, data)).data  # type: ignore[no-any-return]
    return _read((await client.rpc(method, json.dumps(data).encode())).data)


def _read(data: Any) -> dict[str, Any]:
    return json.loads(data) if isinstance(data, bytes) else data  # type: ignore[no-any-return]


@FORMS
async def test_centrifuge_python_connects_talks_and_listens(stack: Any, people: People, form: str) -> None:
    """Snapshot, rpc with result and with error, publications of a room it is taken into."""
    ada, grace, _ = people
    async with (
        _client(stack.gateways[0], ada.token, form) as (one, ears),
        _client(stack.gateways[1], grace.token, form) as (_, o),
    ):
        assert _read(ears.connected[0].data)["user"]["user_id"] == ada.id
        data = {"key": key(), "kind": "group", "name": "sdk", "members": [grace.id]}
        room = (await _call(one, form, "room.create", data))["room"]
        channel = f"room:{room}"
        await o.until(lambda: any(ctx.channel == channel for ctx in o.subscribed))
        sent = await _call(one, form, "message.send", {"room": room, "key": key(), "text": "hi"})
        for heard in (ears, o):
            await heard.publication(channel, sent["offset"])
        with pytest.raises(ReplyError) as refused:
            await _call(one, form, "message.send", {"room": ada.id, "key": key(), "text": "hi"})
        assert refused.value.code in (400, 403)


@FORMS
async def test_centrifuge_python_comes_back_and_misses_nothing(
    stack: Any, jwks: Path, people: People, form: str
) -> None:
    """A gateway drains with 3001; the client reconnects to it by itself and recovers what was said meanwhile."""
    ada, grace, _ = people
    async with (
        running(stack, jwks, Limits(drain=0.1, rejoin=0.01)) as gateway,
        session(stack.gateways[1], ada.token) as (wire, _),
        _client(gateway.url, grace.token, form) as (_, ears),
    ):
        room = await make_room(wire, grace)
        await ears.until(lambda: any(ctx.channel == f"room:{room}" for ctx in ears.subscribed))
        sent = [(await say(wire, room))["offset"]]
        # What a lost heartbeat does to every socket of a gateway.
        gateway.gateway.interest.lost()
        sent += [(await say(wire, room))["offset"] for _ in range(3)]
        await ears.until(lambda: len([c for c, _ in ears.heard if c == f"room:{room}"]) >= len(sent))
        assert [offset for channel, offset in ears.heard if channel == f"room:{room}"] == sent
        assert 3010 in ears.connecting
        assert len(ears.connected) == 2


async def test_centrifuge_python_stays_away_with_a_token_that_is_no_good(stack: Any) -> None:
    """3500 ends it for good."""
    ears = Ears()
    client = Client(stack.gateways[0], events=ears, token="e30.e30.e30", timeout=15, proxy=None)
    await client.connect()
    await ears.until(lambda: ears.disconnected)
    assert ears.disconnected == [3500]


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """npm `centrifuge`, as the lock file pins it, kept in the cache folder."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node and npm are not installed: the JavaScript client is not tried")
    cache = Path(os.environ.get("CHATTIFIER_CACHE", Path.home() / ".cache" / "chattifier")) / "js-client"
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "talk.mjs"):
        shutil.copyfile(JS / name, cache / name)
    if not (cache / "node_modules" / "centrifuge").exists():
        subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"], cwd=cache, check=True, capture_output=True, timeout=170
        )
    return cache


@FORMS
async def test_centrifuge_js_connects_talks_and_comes_back(
    stack: Any, jwks: Path, people: People, node_modules: Path, form: str
) -> None:
    """From Node: snapshot, rpc, receive, a close with 3010, reconnect, recovery in order."""
    ada, grace, _ = people
    async with (
        running(stack, jwks, Limits(drain=0.1, rejoin=0.01)) as gateway,
        session(stack.gateways[1], ada.token) as (wire, _),
    ):
        room = await make_room(wire, grace)
        talk = await asyncio.create_subprocess_exec(
            "node", "talk.mjs", gateway.url, room, form, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=node_modules
        )
        assert talk.stdin is not None
        assert talk.stdout is not None
        try:
            talk.stdin.write(grace.token.encode() + b"\n")
            lines = _Lines(talk.stdout)
            assert (await lines.next("connected"))["user"] == grace.id
            sent = [(await lines.next("sent"))["offset"]]
            assert (await lines.next("refused"))["code"] == 104
            gateway.gateway.interest.lost()
            sent += [(await say(wire, room))["offset"] for _ in range(3)]
            assert [(await lines.next("connecting"))["code"] for _ in range(2)] == [0, 3010]
            heard = [(await lines.next("heard"))["offset"] for _ in sent]
            assert heard == sent
        finally:
            talk.kill()
            await talk.wait()


class _Lines:
    """The script's output: JSON lines of several kinds, each kind read in its order."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._kept: list[dict[str, Any]] = []

    async def next(self, kind: str) -> dict[str, Any]:
        """The next line of a kind."""
        async with asyncio.timeout(30):
            while (found := next((line for line in self._kept if line["kind"] == kind), None)) is None:
                self._kept.append(json.loads(await self._stream.readline()))
        self._kept.remove(found)
        return found

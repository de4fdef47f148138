"""The loop: lines of the user go out, what happens is shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from chattifier.chat.conversation import Conversation, Show
from chattifier.chat.lines import Lines
from chattifier.chat.wire import Connected, Ended, Wire
from chattifier.errors import ChatFailed, Refused

HELP: Final = """\
  /rooms              your rooms, and what is unread
  /open ROOM          by id, or by the beginning of its name
  /with USER          open the direct room with somebody
  /new NAME [USER…]   make a group
  /join ROOM          join a channel, by its id
  /reply N TEXT       reply to message N
  /edit N TEXT        change your message N
  /delete N           delete message N
  /react N EMOJI      react to message N
  /search WORDS       find messages of this room
  /quit               leave the terminal client
  anything else is said in the open room"""
CONNECTS_WITHIN: Final = 30.0


class UsageError(Exception):
    """A line that is no command, or lacks something. Its text is for the user."""


@dataclass
class Terminal:
    """One user at work. Raises ChatFailed when it cannot connect."""

    wire: Wire
    conversation: Conversation
    lines: Lines
    show: Show

    async def run(self, room: str | None) -> None:
        """Until the user quits, the input ends, or the server closes for good."""
        async with asyncio.TaskGroup() as tasks:
            await self.wire.open()
            up = asyncio.Event()
            listening = tasks.create_task(self._listen(up))
            await _soon(up)
            if room:
                await self._guarded(self._open(room))
            writing = tasks.create_task(self._write())
            await asyncio.wait((listening, writing), return_when=asyncio.FIRST_COMPLETED)
            listening.cancel()
            writing.cancel()
        await self.wire.close()

    async def _listen(self, up: asyncio.Event) -> None:
        while True:
            happening = await self.wire.happenings.get()
            await self._guarded(self.conversation.take(happening))
            if isinstance(happening, Connected):
                up.set()
            elif isinstance(happening, Ended):
                if not up.is_set():
                    raise ChatFailed(f"The gateway refused the connection: {happening.code} {happening.reason}.")
                return

    async def _write(self) -> None:
        while (line := await self.lines.read()) is not None and line.strip() != "/quit":
            if line.strip():
                await self._guarded(self._do(line.strip()))

    async def _guarded(self, work: Awaitable[None]) -> None:
        """What the server refuses, and what the user mistypes, is one line."""
        try:
            await work
        except Refused as error:
            self.show(f"! {error.message.replace('_', ' ')}")
        except UsageError as error:
            self.show(f"! {error}")

    async def _do(self, line: str) -> None:
        if not line.startswith("/"):
            await self._say(line)
            return
        name, _, rest = line[1:].partition(" ")
        command = self._commands.get(name)
        if command is None:
            raise UsageError(f"There is no /{name}: see /help.")
        await command(rest.strip())

    @property
    def _commands(self) -> dict[str, Callable[[str], Awaitable[None]]]:
        return {
            "help": self._help, "rooms": self._rooms, "open": self._open, "with": self._with, "new": self._new,
            "join": self._join, "reply": self._reply, "edit": self._edit, "delete": self._delete,
            "react": self._react, "search": self._search,
        }  # fmt: skip

    @property
    def _room(self) -> str:
        if self.conversation.room is None:
            raise UsageError("No room is open: see /rooms, /open and /new.")
        return self.conversation.room

    async def _help(self, _rest: str) -> None:
        self.show(HELP)

    async def _rooms(self, _rest: str) -> None:
        self.show("\n".join(self.conversation.listed()) or "  You are in no room: see /new.")

    async def _open(self, wanted: str) -> None:
        room = self.conversation.find_room(wanted)
        if room is None:
            raise UsageError(f"You are in no room {wanted!r}: see /rooms.")
        await self.conversation.open(room)

    async def _with(self, username: str) -> None:
        other = await self.conversation.find(username)
        await self._made({"kind": "direct", "members": [other]})

    async def _new(self, rest: str) -> None:
        name, *usernames = rest.split() or [""]
        if not name:
            raise UsageError("Give it a name: /new NAME [USER…]")
        members = [await self.conversation.find(username) for username in usernames]
        await self._made({"kind": "group", "name": name, "members": members})

    async def _made(self, wish: dict[str, object]) -> None:
        summary = await self.wire.change("room.create", wish)
        self.conversation.rooms.setdefault(summary["room"], summary)
        await self.conversation.open(summary["room"])

    async def _join(self, room: str) -> None:
        await self.wire.change("room.join", {"room": room})
        if await self.conversation.entered(room):
            await self.conversation.open(room)

    async def _say(self, text: str) -> None:
        await self.wire.change("message.send", {"room": self._room, "text": text})

    async def _reply(self, rest: str) -> None:
        seq, text = _numbered(rest, "/reply N TEXT")
        await self.wire.change("message.send", {"room": self._room, "text": text, "reply_to": seq})

    async def _edit(self, rest: str) -> None:
        seq, text = _numbered(rest, "/edit N TEXT")
        await self.wire.change("message.edit", {"room": self._room, "seq": seq, "text": text})

    async def _delete(self, rest: str) -> None:
        seq, _ = _numbered(f"{rest} now", "/delete N")
        await self.wire.change("message.delete", {"room": self._room, "seq": seq})

    async def _react(self, rest: str) -> None:
        seq, emoji = _numbered(rest, "/react N EMOJI")
        await self.wire.change("reaction.add", {"room": self._room, "seq": seq, "emoji": emoji})

    async def _search(self, words: str) -> None:
        if not words:
            raise UsageError("Give words: /search WORDS")
        found = await self.wire.ask("message.search", {"room": self._room, "query": words})
        for message in found["messages"]:
            self.show(f"  [{message['seq']}] {await self.conversation.name(message['sender'])}: {message['text']}")
        if not found["messages"]:
            self.show("  Nothing found.")


def _numbered(rest: str, usage: str) -> tuple[int, str]:
    number, _, text = rest.partition(" ")
    if not number.isdecimal() or not text.strip():
        raise UsageError(f"Write it so: {usage}")
    return int(number), text.strip()


async def _soon(up: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CONNECTS_WITHIN):
            await up.wait()
            return
    raise ChatFailed(f"The gateway did not answer within {CONNECTS_WITHIN:.0f} s.")

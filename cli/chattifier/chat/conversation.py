"""What the terminal client knows: the user's rooms, the open one, and what of it has been shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Final

from chattifier.chat.wire import Connected, Ended, Entered, Happening, Heard, Json, Left, Lost, Wire
from chattifier.errors import Refused

PAGE: Final = 20
Show = Callable[[str], None]


class Conversation:
    """Shows what happens. Methods that ask the server raise Refused."""

    def __init__(self, wire: Wire, user: str, show: Show) -> None:
        self.rooms: dict[str, Json] = {}
        self.room: str | None = None
        self._wire = wire
        self._user = user
        self._show = show
        self._names: dict[str, str] = {}
        self._seen: dict[str, int] = {}
        """The last message shown of each room that was opened."""
        self._unread: dict[str, int] = {}
        self._turn = asyncio.Lock()
        """Held while a room is opened, so that what is pushed meanwhile is shown behind its messages."""
        self._taken = asyncio.Event()

    async def take(self, happening: Happening) -> None:
        """Something was pushed."""
        async with self._turn:
            await self._take(happening)
        self._taken.set()

    async def _take(self, happening: Happening) -> None:
        match happening:
            case Connected(user, rooms):
                self._names[user["user_id"]] = user["username"]
                for summary in rooms:
                    self._know(summary)
                self._show("— connected")
            case Lost(code, reason):
                self._show(f"— connection lost ({code} {reason}): reconnecting")
            case Ended(code, reason):
                self._show(f"— disconnected ({code} {reason})")
            case Entered(room, summary, missed):
                await self._entered(room, summary, missed=missed)
            case Left(room):
                self._left(room)
            case Heard(event):
                await self._heard(event)

    def _know(self, summary: Json) -> None:
        self.rooms[summary["room"]] = summary
        self._unread[summary["room"]] = summary["unread"]

    async def _entered(self, room: str, summary: Json | None, *, missed: bool) -> None:
        if summary and "room" in summary:
            self._know(summary)
        if missed and room == self.room:
            self._show("— some messages were missed: reading them again")
            await self._catch_up(room)

    def _left(self, room: str) -> None:
        summary = self.rooms.pop(room, None)
        if room == self.room:
            self.room = None
        if summary is not None:
            self._show(f"— you are not in {_title(summary)} any more")

    async def _catch_up(self, room: str) -> None:
        more = True
        while more:
            try:
                page = await self._wire.ask(
                    "message.list", {"room": room, "after": self._seen.get(room, 0), "limit": 200}
                )
            except Refused as error:
                self._show(f"— what was missed cannot be read ({error.message}): open the room again")
                return
            for message in page["messages"]:
                await self._message(room, message, message["sender"])
            more = page["more"] and bool(page["messages"])

    async def _heard(self, event: Json) -> None:
        room, kind = event.get("room"), event["type"]
        if room is None or "actor" not in event or kind in ("message_read", "typing"):
            return  # news of the user's own: what they are about comes by itself as well
        if room != self.room:
            self._elsewhere(room, event)
        elif kind == "message_sent":
            await self._message(room, event, event["actor"])
            await self.read()
        else:
            self._show(f"     {await self._told(event)}")

    def _elsewhere(self, room: str, event: Json) -> None:
        if event["type"] != "message_sent" or event["actor"] == self._user or room not in self.rooms:
            return
        if event["seq"] <= self.rooms[room]["head"]["seq"]:  # its summary has counted it
            return
        self._unread[room] = self._unread.get(room, 0) + 1
        self._show(f"— {_title(self.rooms[room])}: {self._unread[room]} unread")

    async def _message(self, room: str, message: Json, sender: str) -> None:
        """Show one, unless it was."""
        seq = message["seq"]
        if seq <= self._seen.get(room, 0):
            return
        self._seen[room] = seq
        self._show(await self._line(message, sender))

    async def _line(self, message: Json, sender: str) -> str:
        at = datetime.fromtimestamp(message["time"] / 1000).astimezone().strftime("%H:%M")
        text = "(deleted)" if message.get("deleted") else message["text"]
        reply = f"↩{message['reply_to']} " if message.get("reply_to") else ""
        edited = " (edited)" if message.get("edited_at") else ""
        reactions = "".join(f" {emoji}{len(users)}" for emoji, users in (message.get("reactions") or {}).items())
        return f"[{message['seq']}] {at} {await self.name(sender)}: {reply}{text}{edited}{reactions}"

    async def _told(self, event: Json) -> str:
        """An event that is no message, in words."""
        actor = await self.name(event["actor"])
        match event["type"]:
            case "message_edited":
                return f"{actor} edited [{event['seq']}]: {event['text']}"
            case "message_deleted":
                return f"{actor} deleted [{event['seq']}]"
            case "reaction_added":
                return f"{actor} reacted {event['emoji']} to [{event['seq']}]"
            case "reaction_removed":
                return f"{actor} took {event['emoji']} back from [{event['seq']}]"
            case kind:
                whom = f" {await self.name(event['user'])}" if "user" in event else ""
                return f"{actor}: {kind.replace('_', ' ')}{whom}"

    async def name(self, user: str) -> str:
        """What to call somebody."""
        if user not in self._names:
            try:
                profile = await self._wire.ask("user.get", {"user": user})
            except Refused:
                profile = {}
            self._names[user] = profile.get("username") or f"user {user[:8]}"
        return self._names[user]

    async def find(self, username: str) -> str:
        """The id of the user of that name."""
        found = await self._wire.ask("user.find", {"username": username})
        self._names[found["user_id"]] = username
        return str(found["user_id"])

    def listed(self) -> list[str]:
        """The rooms, for people."""
        return [
            f"  {_title(summary)}  ({self._unread.get(room, 0)} unread)  {room}" for room, summary in self.rooms.items()
        ]

    def find_room(self, wanted: str) -> str | None:
        """A room by id, or by the beginning of its name."""
        if wanted in self.rooms:
            return wanted
        begins = [room for room, one in self.rooms.items() if _title(one).casefold().startswith(wanted.casefold())]
        return begins[0] if begins else None

    async def open(self, room: str) -> None:
        """Show a room's newest messages, and from now on what happens in it."""
        async with self._turn:
            await self._open(room)

    async def _open(self, room: str) -> None:
        unread = self._unread.get(room, 0)
        page = await self._wire.ask("message.list", {"room": room, "limit": max(PAGE, min(200, unread))})
        self.room = room
        self._seen[room] = 0
        self._show(f"— {_title(self.rooms[room])}: {unread} unread")
        for message in page["messages"]:
            await self._message(room, message, message["sender"])
        await self.read()

    async def read(self) -> None:
        """All that was shown of the open room is read."""
        room = self.room
        seen = self._seen.get(room, 0) if room else 0
        if room and seen:
            self._unread[room] = 0
            with contextlib.suppress(Refused):
                await self._wire.ask("message.read", {"room": room, "seq": seen})

    async def entered(self, room: str, within: float = 10.0) -> bool:
        """Wait until a room that was just made or joined is there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while room not in self.rooms:
                    self._taken.clear()
                    await self._taken.wait()
        return room in self.rooms


def _title(summary: Json) -> str:
    return str(summary.get("name") or f"{summary['kind']} {summary['room'][:8]}")

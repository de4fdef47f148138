"""What a client missed in its rooms: all of it, or nothing and the client is told so. Never a part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from chat_functions import logs, metrics
from chat_functions.redis_link import RedisUnavailable
from chat_functions.room_log import RoomLog
from chat_functions.rooms import View
from chat_functions.settings import Settings
from chat_functions.tables import TablesUnavailable
from pulsar_data.config import Live
from pulsar_data.deliveries import OpenedRoom
from pulsar_data.events import MemberJoined, MessageEdited, MessageSent, RoomEvent
from pulsar_data.model import RoomId
from pulsar_data.queries import Position

MOST = 2 * 1024 * 1024
"""Bytes recovered, whatever the setting: with last messages and summaries they must fit into one Pulsar message."""
Events = tuple[RoomEvent, ...]


class Recovery:
    """Recovers rooms, those with the newest messages first, within a number of bytes in all and half of the time left.

    A little of what Redis keeps of a room comes with the room itself, and costs nothing more; beyond that it is read
    from the log, unless it is known to be too much. A log that cannot be read, or takes too long, recovers nothing: the
    client reloads.
    """

    def __init__(self, room_log: RoomLog, live: Live[Settings]) -> None:
        self._log = room_log
        self._live = live

    async def rooms(
        self, views: Sequence[View], positions: Mapping[RoomId, Position], deadline: int
    ) -> tuple[OpenedRoom, ...]:
        """Each room as it opens, in order; `deadline` in ms since the epoch."""
        recovered: dict[RoomId, Events] = {}
        left = min(self._live.now.recover_bytes, MOST)
        until = (time.time() + deadline / 1000) / 2
        for view in sorted(views, key=_newest, reverse=True):
            missed = await self._missed(view, positions, left, until)
            if missed is None and self._is_read(view, positions, left):
                left -= view.size  # and was too much after all
            if view.was_recovering:
                metrics.RECOVERIES.labels(_outcome(view, missed)).inc()
            if missed is not None:
                recovered[view.summary.room] = missed
                left -= _size(missed)
        return tuple(_opened(view, recovered.get(view.summary.room)) for view in views)

    async def _missed(self, view: View, positions: Mapping[RoomId, Position], left: int, until: float) -> Events | None:
        """All that the client missed, in order, at most `left` bytes; None if that cannot be told, or may not be."""
        missed = view.missed if view.recovered else None
        if self._is_read(view, positions, left):
            missed = await self._from_log(view, positions[view.summary.room].offset + 1, left, until)
        if missed is None or _size(missed) > left or not _readable(view, missed):
            return None
        return missed

    def _is_read(self, view: View, positions: Mapping[RoomId, Position], left: int) -> bool:
        """Whether what was missed is looked for in the log: where it is neither too many events nor too many bytes."""
        if not view.in_log or view.size > left:
            return False
        now = self._live.now
        return view.offset - positions[view.summary.room].offset <= max(now.recover_events, now.recent_events)

    async def _from_log(self, view: View, first: int, left: int, until: float) -> Events | None:
        try:
            async with asyncio.timeout(max(0.0, until - time.time())):
                return await self._log.all(view.summary.room, first, view.offset, left)
        except (TimeoutError, TablesUnavailable, RedisUnavailable) as error:
            logs.warning("not_recovered", room=view.summary.room, error=type(error).__name__)
            return None


def _readable(view: View, missed: Events) -> bool:
    """Whether the reader may see all of it: nothing from before it joined where that counts, nothing that expired.

    An edit has the text of its message. What else becomes of older messages is heard by whoever is in the room then.
    """
    now = time.time_ns() // 1_000_000
    return not any(
        isinstance(event, MessageSent | MessageEdited) and (event.seq < view.first or (event.expires or now + 1) <= now)
        for event in missed
    ) and not _about_earlier(view, missed)


def _about_earlier(view: View, missed: Events) -> bool:
    """Whether something became of older messages before whoever joined at `first`, the reader maybe, did."""
    joined = [e.offset for e in missed if isinstance(e, MemberJoined) and e.joined_seq == view.first - 1]
    before = max(joined, default=0)
    return any(event.offset < before and getattr(event, "seq", view.first) < view.first for event in missed)


def _outcome(view: View, missed: Events | None) -> str:
    if missed is None:
        return "unrecovered"
    return "from_log" if view.in_log else "recovered"


def _size(events: Events) -> int:
    return sum(len(event.to_json()) for event in events)


def _newest(view: View) -> int:
    last = view.summary.last_message
    return max((event.time for event in view.missed), default=last.time if last is not None else 0)


def _opened(view: View, missed: Events | None) -> OpenedRoom:
    return OpenedRoom(
        summary=view.summary, epoch=view.epoch, offset=view.offset, was_recovering=view.was_recovering,
        recovered=missed is not None, publications=missed or (),
    )  # fmt: skip

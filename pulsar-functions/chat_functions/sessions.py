"""Opening sessions and rooms: check the token, note the gateway, read the snapshot and what was missed.

Everything is written before it is read: the gateway is known to the user's rooms before their heads are read, so an
event is either in the snapshot or pushed to that gateway, or both, and the gateway drops the second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from redis.asyncio.client import Pipeline

from chat_functions.copies import Account, Copies
from chat_functions.numbering import RAISE_TOKEN
from chat_functions.readings import Readings
from chat_functions.recovery import Recovery
from chat_functions.redis_link import RedisLink, call
from chat_functions.rooms import View
from chat_functions.views import Views
from pulsar_data import redis_keys
from pulsar_data.deliveries import RoomOpened, SessionOpened
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.queries import CheckSession, GetRoom, ListRooms, OpenRoom, OpenSession
from pulsar_data.results import RoomPage
from pulsar_data.rooms import RoomSummary

SNAPSHOT = 200
"""Rooms of a snapshot; the others come by room.list."""
LAST_MESSAGES = 2 * 1024 * 1024
"""Bytes of all last messages of a snapshot: with what is recovered they must fit into one Pulsar message of 5 MiB."""


class Sessions:
    """Raises RedisUnavailable, TablesUnavailable, ChatError; then nothing was opened, and it can be tried again."""

    def __init__(self, redis: RedisLink, copies: Copies, views: Views, readings: Readings, recovery: Recovery) -> None:
        self._redis = redis
        self._copies = copies
        self._views = views
        self._readings = readings
        self._recovery = recovery

    async def open(self, query: OpenSession) -> SessionOpened:
        """The snapshot. ChatError as of `check`."""
        account = await self.check(query)
        await self._redis.execute(lambda pipe, _: _raise_token(pipe, query))  # it is told of what becomes of the user
        if not query.rooms:
            return SessionOpened(request=query.request, user=account.profile)
        inbox = await self._copies.inbox(query.user)
        interest = (query.gateway, query.token)
        views = await self._views.read(inbox[:SNAPSHOT], query.user, query.deadline, query.positions, interest)
        opened = await self._recovery.rooms(_light(views), query.positions, query.deadline)
        return SessionOpened(request=query.request, user=account.profile, rooms=opened, more=len(inbox) > SNAPSHOT)

    async def check(self, query: OpenSession | CheckSession) -> Account:
        """Whose token it is. ChatError 101 if the token's session was revoked; 109 if only this token of it was."""
        if query.external is not None:
            account = await self._copies.external(query.user, query.external, query.version)
        else:
            account = await self._copies.account(query.user, query.session, query.version)
        if account is not None:
            return account
        if query.external is None and await self._copies.lives(query.user, query.session):
            raise ChatError(ErrorCode.TOKEN_EXPIRED, "the session has a newer token")
        raise ChatError(ErrorCode.UNAUTHORIZED, "the session was revoked")

    async def open_room(self, query: OpenRoom) -> RoomOpened:
        """One room. ChatError 103 for anybody but a member, whether the room exists or not."""
        view = None
        positions = {query.room: query.position} if query.position is not None else {}
        if query.room in await self._copies.inbox(query.user):
            interest = (query.gateway, query.token)
            (view,) = await self._views.read([query.room], query.user, query.deadline, positions, interest)
        if view is None:
            raise ChatError(ErrorCode.PERMISSION_DENIED, "not a member of that room")
        (opened,) = await self._recovery.rooms([view], positions, query.deadline)
        return RoomOpened(request=query.request, room=opened)

    async def list_rooms(self, query: ListRooms) -> RoomPage:
        """A page of the inbox. Rooms that the user has left may still be in the inbox: they are passed over."""
        inbox = [room for room in await self._copies.inbox(query.user) if query.after is None or room > query.after]
        found: list[View] = []
        for start in range(0, len(inbox), SNAPSHOT):
            views = await self._views.read(inbox[start : start + SNAPSHOT], query.user, query.deadline)
            found += filter(None, views)
            if len(found) > query.limit:
                break
        shown = _light(found[: query.limit])
        return RoomPage(rooms=tuple(view.summary for view in shown), more=len(found) > query.limit)

    async def get_room(self, query: GetRoom) -> RoomSummary:
        """One room. ChatError 400 if there is none, 403 if the user may not read in it."""
        reading = await self._readings.open(query.room, query.user, query.deadline, events=False)
        (view,) = await self._views.read([reading.room], query.user, query.deadline, guests=True)
        if view is None:
            raise ChatError(ErrorCode.NOT_A_MEMBER)
        return view.summary


def _light(views: Sequence[View | None]) -> list[View]:
    """The rooms that are there. Of many long last messages some are left out, so that the whole can be delivered."""
    left = LAST_MESSAGES
    light = []
    for view in filter(None, views):
        last = view.summary.last_message
        left -= len(last.to_json()) if last is not None else 0
        light.append(view if left >= 0 else _without_last_message(view))
    return light


def _without_last_message(view: View) -> View:
    return replace(view, summary=view.summary.model_copy(update={"last_message": None}))


def _raise_token(pipe: Pipeline, query: OpenSession) -> None:
    call(pipe, RAISE_TOKEN, [redis_keys.user_gateways(query.user)], [query.gateway, query.token])

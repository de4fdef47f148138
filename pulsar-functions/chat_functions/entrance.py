"""Letting members in and out: their inbox, their gateways' interest, and the news to those gateways, in that order.

The inbox is written before the user's gateways are read, and archive registers a gateway before it reads the inbox:
somebody added while connecting is told by one side at least. Interest is written before the room is read, so the
gateway gets every event behind the position it is told. All of it may be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio.client import Pipeline

from chat_functions.numbering import LET_PASS, OPEN_ROOM
from chat_functions.redis_link import RedisLink, call
from chat_functions.rooms import View, read_view
from pulsar_data import redis_keys
from pulsar_data.deliveries import Item, RoomEntered, RoomLeft
from pulsar_data.model import RoomId, UserId


class RoomLostError(Exception):
    """Redis has lost the room just now: nobody can say who is a member before somebody brings it back."""


DAY = 86_400_000
"""ms in which departures are counted."""


def queue_look(pipe: Pipeline, run_id: str, room: RoomId, user: UserId) -> None:
    """Queue OPEN_ROOM that only looks: no interest, nothing recovered."""
    keys = [
        redis_keys.head(room), redis_keys.members(room), redis_keys.recent(room), redis_keys.interest(room),
        redis_keys.banned(room),
    ]  # fmt: skip
    call(pipe, OPEN_ROOM, keys, [run_id, user, "", "", "", "", 0, 0])


async def look(redis: RedisLink, room: RoomId, user: UserId) -> View | None:
    """The room as that member sees it now; None if it is no member. Raises RedisUnavailable, RoomLostError."""
    answer = (await redis.execute(lambda pipe, run_id: queue_look(pipe, run_id, room, user)))[0]
    if answer[0] == "lost":
        raise RoomLostError(room)
    return read_view(room, answer) if answer[0] == "open" else None


async def let_in(redis: RedisLink, room: RoomId, users: Sequence[UserId]) -> dict[str, list[Item]]:
    """After COMMIT. Returns the items for the gateways where these users are connected. Raises RedisUnavailable."""
    homes = await redis.execute(lambda pipe, _: _write_inboxes(pipe, room, users))
    gateways = homes[len(users) :]
    answers = await redis.execute(lambda pipe, run_id: _open(pipe, run_id, room, users, gateways))
    items: dict[str, list[Item]] = {}
    for user, homes_of, answer in zip(users, gateways, answers[-len(users) :], strict=True):
        if answer[0] != "open":
            continue
        view = read_view(room, answer)
        entered = RoomEntered(user=user, room=room, epoch=view.epoch, offset=view.offset, summary=view.summary)
        for gateway in homes_of:
            items.setdefault(gateway, []).append(entered)
    return items


@dataclass(frozen=True, slots=True)
class Left:
    """A user who left a room by the event of that number."""

    room: RoomId
    user: UserId
    epoch: int
    offset: int


async def let_out(redis: RedisLink, left: Left) -> dict[str, list[Item]]:
    """After COMMIT. As let_in. Nothing happens if the user is a member again: then this is a repeat that comes late.

    Nor where that cannot be told: an inbox may have rooms that are left, and the event itself ends what is open.
    """
    try:
        if await look(redis, left.room, left.user) is not None:
            return {}
    except RoomLostError:
        return {}
    *_, gateways = await redis.execute(lambda pipe, _: _clear_inbox(pipe, left))
    told = RoomLeft(user=left.user, room=left.room, epoch=left.epoch, offset=left.offset)
    return {gateway: [told] for gateway in gateways}


async def departures(redis: RedisLink, users: Sequence[UserId]) -> list[int]:
    """How often each of them has left rooms, or was put out, in a day. Raises RedisUnavailable."""
    counts = await redis.execute(lambda pipe, _: [pipe.get(_departures(user)) for user in users])
    return [int(count or 0) for count in counts]


def _departures(user: UserId) -> str:
    return redis_keys.limit("departures", user)


def _clear_inbox(pipe: Pipeline, left: Left) -> None:
    call(pipe, LET_PASS, [_departures(left.user)], [2**31, DAY])
    pipe.hdel(redis_keys.user_rooms(left.user), left.room)
    pipe.hkeys(redis_keys.user_gateways(left.user))


async def homes(redis: RedisLink, users: Sequence[UserId]) -> list[list[str]]:
    """The gateways where each of the users is connected, or was lately. Raises RedisUnavailable."""
    return await redis.execute(lambda pipe, _: [pipe.hkeys(redis_keys.user_gateways(user)) for user in users])


def _write_inboxes(pipe: Pipeline, room: RoomId, users: Sequence[UserId]) -> None:
    for user in users:
        pipe.hset(redis_keys.user_rooms(user), room, "1")
    for user in users:
        pipe.hkeys(redis_keys.user_gateways(user))


def _open(
    pipe: Pipeline, run_id: str, room: RoomId, users: Sequence[UserId], gateways: Sequence[Sequence[str]]
) -> None:
    for gateway in sorted({gateway for homes in gateways for gateway in homes}):
        pipe.hsetnx(redis_keys.interest(room), gateway, "0")
    for user in users:
        queue_look(pipe, run_id, room, user)

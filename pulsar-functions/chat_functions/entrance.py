"""Letting members in: their inbox, their gateways' interest, and the news to those gateways, in that order.

The inbox is written before the user's gateways are read, and archive registers a gateway before it reads the inbox:
somebody added while connecting is told by one side at least. Interest is written before the room is read, so the
gateway gets every event behind the position it is told. All of it may be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio.client import Pipeline

from chat_functions.numbering import OPEN_ROOM
from chat_functions.redis_link import RedisLink, call
from chat_functions.rooms import View, read_view
from pulsar_data import redis_keys
from pulsar_data.deliveries import Item, RoomEntered
from pulsar_data.model import RoomId, UserId


def queue_look(pipe: Pipeline, run_id: str, room: RoomId, user: UserId) -> None:
    """Queue OPEN_ROOM that only looks: no interest, nothing recovered."""
    keys = [
        redis_keys.head(room), redis_keys.members(room), redis_keys.recent(room), redis_keys.interest(room),
    ]  # fmt: skip
    call(pipe, OPEN_ROOM, keys, [run_id, user, "", "", "", ""])


async def look(redis: RedisLink, room: RoomId, user: UserId) -> View | None:
    """The room as that member sees it now; None if it is no member, or the room is gone. Raises RedisUnavailable."""
    answer = (await redis.execute(lambda pipe, run_id: queue_look(pipe, run_id, room, user)))[0]
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

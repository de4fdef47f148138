"""Those of a gateway that died are told of, also if Redis fails in the middle of it."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ConnectionError as Lost

from pulsar_data.signals import PresenceChanged
from socket_gateway.backlog import Backlog
from socket_gateway.interest import Interest
from socket_gateway.presence import BURY, Presence


class Memory:
    """A Redis that tells of a dead gateway once, and fails at the next question."""

    def __init__(self) -> None:
        self.dead = [b"gw-dead"]
        self.fails = True
        self.live: list[bytes] = []
        self.deleted: list[str] = []

    async def eval(self, script: str, *_: object) -> list[bytes]:
        """The dead, to one caller only; or who has a heartbeat."""
        if script != BURY:
            return self.live
        dead, self.dead = self.dead, []
        return dead

    async def hgetall(self, _: str) -> dict[bytes, bytes]:
        """Nobody was there; the first time it fails."""
        if self.fails:
            self.fails = False
            raise Lost
        return {}

    async def delete(self, key: str) -> None:
        """Remembers it."""
        self.deleted.append(key)


@pytest.mark.anyio
async def test_a_gateway_that_could_not_be_buried_is_at_the_next_look() -> None:
    """Redis forgets it when it first says that it is dead: nobody else will."""
    told: list[PresenceChanged] = []
    hub = Interest(Backlog(10), lambda: None).hub
    presence, memory = Presence("gw-here", hub, lambda *_: None, told.append), Memory()
    redis: Any = memory
    with pytest.raises(Lost):
        await presence.bury(redis, 15.0)
    await presence.bury(redis, 15.0)
    await presence.bury(redis, 15.0)
    assert memory.deleted == ["presence:gw-dead"]


@pytest.mark.anyio
async def test_who_is_back_before_that_is_not_buried() -> None:
    """It has written its users anew."""
    presence, memory = Presence("gw-here", Interest(Backlog(10), lambda: None).hub, lambda *_: None, print), Memory()
    redis: Any = memory
    with pytest.raises(Lost):
        await presence.bury(redis, 15.0)
    memory.live = [b"gw-dead"]
    await presence.bury(redis, 15.0)
    memory.live = []
    await presence.bury(redis, 15.0)
    assert memory.deleted == []

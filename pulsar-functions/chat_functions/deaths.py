"""What a function died of: a message at whose work it dies again and again, by itself, becomes a dead letter.

That is a defect of ours: whatever can be wrong with a message is found when it is read, and needs nobody's death. But
the broker brings it again, to the other instance, too, and without this all would die of it for ever.

An instance that dies of an error (a kill is none) leaves word in Redis of all that it was working on. Whoever gets such
a message, for an hour, works it alone. Whoever dies then knows of what. Redis has the counts as limits, so that they
end by themselves; where it is away nothing is counted, and nothing buried. Whose messages were acked to somebody throws
none out (`Handler.THROWS_OUT`): there a death only tells the next one to be careful.
"""

from __future__ import annotations

from collections.abc import Sequence

import redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from chat_functions import logs
from chat_functions.redis_link import RedisLink, RedisUnavailable
from pulsar_data import redis_keys

KEPT = 3600
"""Seconds that a death is remembered."""
BURIALS = 10
"""So many messages an hour are buried for it. Where more do it, it is not the messages: nothing is thrown out then."""


class Deaths:
    """Those of all instances of one function. `alone`: the source of the message that is worked by itself just now."""

    def __init__(self, function: str, redis_url: str, attempts: int) -> None:
        self.alone = ""
        self._function = function
        self._url = redis_url
        self._attempts = attempts
        self._redis: RedisLink | None = None

    async def recall(self) -> None:
        """At the start: whether an instance has died lately. If none has, nothing of this costs anything."""
        link = RedisLink(self._url, ())
        try:
            (died,) = await link.execute(lambda pipe, _: pipe.get(self._key()))
        except RedisUnavailable:
            died = None
        if died is None:
            await link.close()
        else:
            self._redis = link

    async def counts(self, sources: Sequence[str]) -> list[int | None]:
        """How often an instance died of each by itself; None: it was not there when one died."""
        if self._redis is None or not sources:
            return [None] * len(sources)
        try:
            (found,) = await self._redis.execute(lambda pipe, _: pipe.mget([self._key(one) for one in sources]))
        except RedisUnavailable:
            return [None] * len(sources)
        return [None if count is None else int(count) for count in found]

    async def may_bury(self, count: int) -> bool:
        """Whether a message of which so many have died is to be a dead letter."""
        if count < self._attempts or self._redis is None:
            return False
        key = redis_keys.limit("buried", self._function)
        try:
            _, buried = await self._redis.execute(lambda pipe, _: _count(pipe, key))
        except RedisUnavailable:
            return False
        if int(buried) > BURIALS:
            logs.error("buried_enough", function=self._function, an_hour=BURIALS)
            return False
        return True

    def note(self, sources: Sequence[str]) -> None:
        """The last words of a process: `sources` is all that it was working on. Never raises.

        Only of what was worked alone it is known that it died of it.
        """
        try:
            with redis.Redis.from_url(self._url, socket_timeout=2.0, socket_connect_timeout=2.0) as memory:
                pipe = memory.pipeline(transaction=False)
                pipe.set(self._key(), 1, ex=KEPT)
                if [self.alone] == list(sources):
                    pipe.incr(self._key(self.alone))
                    pipe.expire(self._key(self.alone), KEPT)
                else:
                    for source in sources:
                        pipe.set(self._key(source), 0, ex=KEPT, nx=True)
                pipe.execute()
        except (RedisError, OSError) as error:
            logs.warning("death_untold", error=type(error).__name__)

    def _key(self, source: str = "") -> str:
        return redis_keys.limit("deaths", f"{self._function}:{source}")


def _count(pipe: Pipeline, key: str) -> None:
    pipe.set(key, 0, ex=KEPT, nx=True)
    pipe.incr(key)

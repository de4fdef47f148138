"""What user-auth does in Redis: forget what others remember of a user, and count attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import UUID

from pulsar_data import redis_keys
from pulsar_data.model import UserId
from pulsar_data.traces import unseen
from user_auth import logs
from user_auth.errors import Unavailable
from user_auth.once import Once

if TYPE_CHECKING:
    from redis import Redis, RedisError

TIMEOUT: Final = 1.0
"""Seconds that Redis may take for an answer; it usually takes less than one thousandth of it."""

PLACE: Final = "place"
"""What Redis calls an address at which somebody signed in."""


@dataclass(frozen=True)
class Count:
    """How often something was tried in the present window, which ends in `ends_in` ms."""

    attempts: int
    ends_in: int


class Memory:
    """The Redis that all parts share. Thread-safe. Raises Unavailable where it does not answer, or does not do it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._place = urlsplit(url).netloc.rpartition("@")[2]  # the URL itself may hold a password
        self._redis: Once[Redis] = Once(self._connect)

    def forget(self, user_id: UUID) -> None:
        """Delete what is remembered of a user's version, sessions and profile; the next reader asks Cassandra."""
        failed = _failed()

        try:
            self._redis.get().delete(redis_keys.token_version(UserId(str(user_id))))
        except failed as error:
            logs.failure("redis_failed", error, redis=self._place)
            raise Unavailable from error

    def count(self, windows: Sequence[tuple[str, str, int]]) -> Sequence[Count]:
        """Count one attempt in each window (limit's name, subject, seconds), in one round trip.

        The first attempt opens the window; SET NX with a lifetime and INCR in one transaction never leave a counter
        without an end.
        """
        failed = _failed()

        pipeline = self._redis.get().pipeline(transaction=True)
        for name, subject, seconds in windows:
            key = redis_keys.limit(name, subject)
            pipeline.set(key, 0, ex=seconds, nx=True)
            pipeline.incr(key)
            pipeline.pttl(key)
        try:
            results = pipeline.execute()
        except failed as error:
            logs.failure("redis_failed", error, redis=self._place)
            raise Unavailable from error
        return [Count(results[place + 1], max(results[place + 2], 1)) for place in range(0, len(results), 3)]

    def knows_place(self, place: str) -> bool:
        """Whether it was remembered, and the time is not over."""
        failed = _failed()

        try:
            return bool(self._redis.get().exists(redis_keys.limit(PLACE, place)))
        except failed as error:
            logs.failure("redis_failed", error, redis=self._place)
            raise Unavailable from error

    def remember_place(self, place: str, seconds: int) -> None:
        """For so many seconds from now on."""
        failed = _failed()

        try:
            self._redis.get().set(redis_keys.limit(PLACE, place), 1, ex=seconds)
        except failed as error:
            logs.failure("redis_failed", error, redis=self._place)
            raise Unavailable from error

    def _connect(self) -> Redis:
        from redis import ConnectionError as Lost
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # No socket is opened yet. One retry is for a pooled one that a restart of Redis has closed.
        retry = Retry(NoBackoff(), 1, supported_errors=(Lost,))
        return Redis.from_url(self._url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=retry)


def _failed() -> type[RedisError]:
    """What Redis raises: here it is imported, when something is first asked of it."""
    with unseen():
        from redis import RedisError
    return RedisError

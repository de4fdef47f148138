"""Redis as the functions use it: pipelines that know which Redis they talk to.

A number given under one run of Redis must never be given again under an older copy of it. So every script gets the
run_id of the very connection it is sent on, read when that connection was made; a connection that breaks fails the
whole pipeline instead of being replaced below it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import resources
from typing import Any

import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import DataError, NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from chat_functions import metrics

Args = Sequence[str | int | bytes]
_TO_REDIS, _FAILED = metrics.CALL.labels("redis"), metrics.CALL_FAILURES.labels("redis")
AT_ONCE = 16
"""Pipelines under way; more wait their turn. Each has a connection, whose introduction takes a while, and redis-py
refuses the 101st: without this bound a crowd that comes back at once is turned away."""


_SCRIPT_BROKE = re.compile(r"user_script:\d+: (?!@|-?[A-Z]{2,}|Script killed)")
"""Lua's own errors. Those of Redis in a script (memory is full, a disk is) start with a word in capitals."""


class Script:
    """A Lua script of ours, loaded on every new connection and called by its digest.

    `rules` names the file in lua/rules/ that takes the place of the line `--@rules`.
    """

    def __init__(self, name: str, rules: str | None = None) -> None:
        self.name = name
        self.source = _lua(name) if rules is None else _lua(name).replace("--@rules\n", _lua(f"rules/{rules}"))
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


def _lua(name: str) -> str:
    return (resources.files("chat_functions") / "lua" / f"{name}.lua").read_text("utf-8")


class RedisUnavailable(Exception):
    """Redis did not answer, or not with what a script returns: wait and try again."""


class _PackedInC:
    """Packs commands in C, as redis-py does for its synchronous connections: it was half of what a call cost."""

    serializer = HiredisRespSerializer()

    def pack_command(self, *args: Any) -> list[bytes]:
        """The bytes of one command."""
        packed: list[bytes] = self.serializer.pack(*args)
        return packed


class _Connection(_PackedInC, redis.asyncio.Connection):
    pass


class _TlsConnection(_PackedInC, redis.asyncio.SSLConnection):
    pass


class RedisLink:
    """One Redis. `scripts` are loaded on every connection. Not for several event loops."""

    def __init__(self, url: str, scripts: Sequence[Script], timeout: float = 2.0) -> None:
        self._scripts = scripts
        self._timeout = timeout
        self._places = asyncio.Semaphore(AT_ONCE)
        self._run_id = ""
        """Of the Redis that was met last."""
        self.client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=None,  # one timeout for a whole pipeline, not one per reply: see execute
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=self._introduce,
            connection_class=_TlsConnection if url.startswith("rediss:") else _Connection,
            # A round trip each, before a connection can be used: on a long way that is all the time that a call has.
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )

    async def _introduce(self, connection: AbstractConnection) -> None:
        """All in one round trip: on a long way there would be no connection within the timeout otherwise."""
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        for script in self._scripts:
            await connection.send_command("SCRIPT", "LOAD", script.source)
        info = await connection.read_response()
        self._run_id = _run_id(info)
        connection.chattifier_run_id = self._run_id  # type: ignore[attr-defined]
        for _ in self._scripts:
            await connection.read_response()

    async def prepare(self) -> None:
        """Make the first connection now; if Redis does not answer, by use."""
        with suppress(RedisUnavailable):
            await self.execute(lambda pipe, _: pipe.ping())

    async def execute(self, fill: Callable[[Pipeline, str], Any]) -> list[Any]:
        """One round trip: `fill(pipeline, run_id)` queues the calls. Raises RedisUnavailable if any call failed.

        All calls may have happened even if it raises: they must be repeatable. What no repeating would help is a defect
        of ours, and raised as it is: DataError for what cannot be sent, ResponseError for an error within a script.
        """
        try:
            with metrics.timed(_TO_REDIS):
                return await self._execute(fill)
        except RedisUnavailable:
            _FAILED.inc()
            raise

    async def _execute(self, fill: Callable[[Pipeline, str], Any]) -> list[Any]:
        pipe = self.client.pipeline(transaction=False)
        try:
            async with asyncio.timeout(self._timeout), self._places:
                connection = await self.client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
                pipe.connection = connection
                if connection.chattifier_run_id != self._run_id:
                    # Another has its address now. The old one may still be there, and would number what is void.
                    await connection.disconnect()
                    await connection.connect()
                fill(pipe, connection.chattifier_run_id)
                return await pipe.execute()
        except NoScriptError as error:
            await self.client.connection_pool.disconnect()  # somebody flushed the scripts; connecting loads them
            raise RedisUnavailable("scripts were flushed") from error
        except ReadOnlyError as error:
            await self.client.connection_pool.disconnect()  # no primary any more: the address may lead to one
            raise RedisUnavailable("this Redis is a replica") from error
        except DataError:
            raise  # not Redis: what we ask has no meaning, and will have none
        except ResponseError as error:
            if _SCRIPT_BROKE.search(str(error)):
                raise
            raise RedisUnavailable(f"Redis refused a call: {str(error)[:200]}") from error
        except (RedisError, OSError) as error:
            raise RedisUnavailable(f"Redis does not answer: {type(error).__name__}") from error
        finally:
            await pipe.reset()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()


def call(pipe: Pipeline, script: Script, keys: Sequence[str], args: Args) -> None:
    """Queue a script's call."""
    pipe.execute_command("EVALSHA", script.digest, len(keys), *keys, *args)


def _run_id(info: Any) -> str:
    text = info.decode() if isinstance(info, bytes) else str(info)
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:").strip()
    raise RedisUnavailable("INFO server has no run_id")

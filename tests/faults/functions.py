"""The functions of a stack as a test sees them: processes to kill, subscriptions to watch, configs to change."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

from chattifier.function_instances import instances
from chattifier.processes import Identity, identify
from pulsar_data import topics
from pulsar_data.topics import FUNCTIONS
from tests.clients.waiting import until
from tests.patient import AsyncPatient, busy_pulsar
from tests.running_stack import Stack
from tests.stack.instance_ports import has_its_own

INPUTS = {"chat-router": topics.COMMANDS, "message-store": topics.EVENTS, "archive": topics.QUERIES}
"""What each function reads; its subscription has the function's name."""
CARELESS = "careless"
"""Name of the function that stands in for one, and acks too early."""
BOOKIE_LOST = re.compile(rb"Lock on resource /ledgers/available/127\S* was invalidated\. state (?!Releas)")
"""One that ends as it is asked to gives its own back, and is told so."""
BACK_WITHIN = 90.0
LISTENS_WITHIN = 10.0
PULSAR_BACK_WITHIN = 180.0
Json = dict[str, Any]


class Functions:
    """The functions of one stack. All calls go to Pulsar's admin API."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        patient = AsyncPatient(busy_pulsar)
        self._http = httpx.AsyncClient(base_url=stack.pulsar.admin_url, transport=patient, timeout=60.0)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def processes(self, function: str) -> dict[int, int]:
        """The pid of each running instance, by its number."""
        (pulsar,) = self._stack.pids("pulsar")
        running = await asyncio.to_thread(instances, pulsar)
        return {number: pid for (name, number), pid in running.items() if name == function}

    async def kill(self, function: str, number: int) -> None:
        """kill -9 of one instance. Returns when Pulsar has started it again; it may not consume yet."""
        victim = identify((await self.processes(function))[number])
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)

        async def started_again() -> bool:
            return not victim.alive and number in await self.processes(function)

        await until(f"{function}-{number} is started again", started_again, BACK_WITHIN)

    async def until_pulsar_is_back(self) -> None:
        """Wait until Pulsar answers again after its death, all instances consume, and it is not busy with itself."""

        async def is_back() -> bool:
            with suppress(httpx.HTTPError, ValueError):  # no process, no answer, or not yet the right one
                return all([min(await self._consumers(function)) >= 2 for function in INPUTS])
            return False

        await until("Pulsar and all functions are back", is_back, PULSAR_BACK_WITHIN, every=0.5)
        log = await asyncio.to_thread((self._stack.data / "logs" / "pulsar.log").read_bytes)
        lost = BOOKIE_LOST.search(log)
        assert not lost, "the bookie registers again and again: see cli/chattifier/parts/standalone.sh"

    async def until_all_consume(self, function: str, count: int = 2) -> None:
        """Wait until so many instances have subscribed to every partition of the input."""

        async def all_do() -> bool:
            return min(await self._consumers(function)) >= count

        await until(f"{count} instances of {function} consume", all_do, BACK_WITHIN)

    async def _consumers(self, function: str) -> list[int]:
        stats = await self._stats(INPUTS[function], "?perPartition=true")
        subscriptions = [partition["subscriptions"].get(function, {}) for partition in stats["partitions"].values()]
        return [len(subscription.get("consumers", ())) for subscription in subscriptions] or [0]

    async def until_measured(self) -> None:
        """Wait until the worker shows metrics of all instances; start a function anew of which it cannot, as another
        instance has been given the same port.
        """
        for function in FUNCTIONS:
            with suppress(AssertionError):
                await self._until_listening(function, LISTENS_WITHIN)
                continue
            old = await self._identities(function)
            (await self._http.post(f"{_path(function)}/restart")).raise_for_status()
            await self._until_gone(function, old)
            await self._until_listening(function, BACK_WITHIN)

    async def _until_listening(self, function: str, within: float) -> None:
        async def all_are() -> bool:
            running = await self.processes(function)
            return bool(running) and all(has_its_own(pid) for pid in running.values())

        await until(f"{function} listens where it should", all_are, within)

    async def until_idle(self) -> None:
        """Wait until all have acked everything that was ever published to them."""
        for function in INPUTS:
            await self.until_left(function, 0)

    async def until_left(self, function: str, most: int, within: float = BACK_WITHIN) -> None:
        """Wait until a function has so many messages left to do, at most. While people talk it is hardly ever none."""

        async def few() -> bool:
            return await self._backlog(INPUTS[function], function) <= most

        await until(f"{function} has {most} messages left to do at most", few, within)

    async def backlog(self, subscription: str, topic: str = topics.EVENTS) -> int:
        """How many messages a subscription has not acked."""
        return await self._backlog(topic, subscription)

    async def _backlog(self, topic: str, subscription: str) -> int:
        stats = await self._stats(topic, "?getPreciseBacklog=true")
        backlog: int = stats["subscriptions"][subscription]["msgBacklog"]
        return backlog

    async def _stats(self, topic: str, options: str) -> Json:
        name = topic.removeprefix("persistent://")
        response = await self._http.get(f"/admin/v2/persistent/{name}/partitioned-stats{options}")
        stats: Json = response.raise_for_status().json()
        return stats

    async def config(self, function: str) -> Json:
        """The function's config as deployed."""
        config: Json = (await self._http.get(_path(function))).raise_for_status().json()
        return config

    @asynccontextmanager
    async def settings(self, function: str, changes: Mapping[str, object]) -> AsyncIterator[None]:
        """Run the function with other settings (user config) for a while; its instances are started anew, twice."""
        before = await self.config(function)
        await self._update(function, {**before, "userConfig": {**before["userConfig"], **changes}})
        try:
            yield
        finally:
            await self._update(function, before)

    async def _update(self, function: str, config: Json) -> None:
        old = await self._identities(function)
        await self._put("PUT", function, config)
        await self._until_gone(function, old)
        await self.until_all_consume(function)

    async def _identities(self, function: str) -> list[Identity]:
        found = map(identify, (await self.processes(function)).values())
        return [process for process in found if process is not None]

    async def _until_gone(self, function: str, old: list[Identity]) -> None:
        async def gone() -> bool:
            return not any(process.alive for process in old)

        await until(f"the instances of {function} end", gone, BACK_WITHIN)

    async def restarts(self, function: str) -> int:
        """How often its instances have died and were started again, since the function was created or updated."""
        status = (await self._http.get(f"{_path(function)}/status")).raise_for_status().json()
        return sum(instance["status"]["numRestarts"] for instance in status["instances"])

    @asynccontextmanager
    async def acked_on_return(
        self, function: str, changes: Mapping[str, object], archive: bytes
    ) -> AsyncIterator[None]:
        """Run the function with what Pulsar does by default for a while: a message is acked when `process` returns.

        Pulsar does not change the guarantees of a function that exists: another one takes its place on the same
        subscription, made from `archive`, the zip.
        """
        config = await self.config(function)
        settings = {**config["userConfig"], **changes}
        careless = {**config, "processingGuarantees": "ATLEAST_ONCE", "autoAck": True, "userConfig": settings}
        await self._stopped(function)
        try:
            await self._put("POST", CARELESS, {**careless, "name": CARELESS}, archive)
            await self.until_all_consume(function)
            yield
        finally:
            await self._forget(CARELESS)
            (await self._http.post(f"{_path(function)}/start")).raise_for_status()
            await self._until_gone(CARELESS, await self._identities(CARELESS))
            await self.until_all_consume(function)

    async def _stopped(self, function: str) -> None:
        old = await self._identities(function)
        (await self._http.post(f"{_path(function)}/stop")).raise_for_status()
        await self._until_gone(function, old)

    async def _forget(self, function: str) -> None:
        """Delete a function and its package, which Pulsar leaves behind, and would trip over next time."""
        await self._http.delete(_path(function))
        packages = f"/admin/v3/packages/function/chat/core/{function}"
        for version in (await self._http.get(packages)).json():
            await self._http.delete(f"{packages}/{version}")

    async def _put(self, method: str, function: str, config: Json, archive: bytes | None = None) -> None:
        parts: dict[str, Any] = {"functionConfig": (None, json.dumps(config), "application/json")}
        if archive is not None:
            parts["data"] = ("chattifier-functions.zip", archive, "application/octet-stream")
        response = await self._http.request(method, _path(function), files=parts)
        assert response.is_success, f"{method} {function}: {response.status_code} {response.text[:300]}"


def _path(function: str) -> str:
    return f"/admin/v3/functions/chat/core/{function}"

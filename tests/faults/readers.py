"""Some read pages while there is trouble: each read is answered, with a page or an error, and none hangs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.clients.socket import ErrorReply
from tests.clients.waiting import until
from tests.faults.crowd import Crowd
from tests.faults.judge import Fault, Finding

READ_WITHIN = 15.0
"""Seconds until pages are read again, once all is stored: drivers look for a Cassandra ever more seldom."""
ANSWERED_WITHIN = 3.0
"""Seconds for a read while archive or Cassandra is away: an answer or an error. A gateway gives up after two."""
PAGE, REFUSED = "page", "refused"


@asynccontextmanager
async def reading(crowd: Crowd, count: int) -> AsyncIterator[Counter[str]]:
    """So many read again and again; every one is answered in time, or that is found to be LATE, and not only by being
    told to try again.

    Yields how often they had a page, and how often REFUSED for the moment.
    """
    answers: Counter[str] = Counter()

    async def read(number: int) -> None:
        client, room = crowd.clients[number], crowd.homes[number]
        while True:
            await asyncio.sleep(0.2)
            try:
                async with asyncio.timeout(ANSWERED_WITHIN):
                    answers[PAGE] += await client.rpc_once("message.list", {"room": room, "limit": 20}) is not None
            except ErrorReply as error:
                assert error.temporary, f"message.list was refused with {error.code}"
                answers[REFUSED] += 1
            except TimeoutError:
                what = f"{client.journal.client} had no answer to message.list within {ANSWERED_WITHIN:.0f} s"
                crowd.waited.append(Finding(Fault.LATE, room, what))

    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(read(number)) for number in range(count)]
        yield answers
        await until_read(answers)
        for reader in readers:
            reader.cancel()


async def until_read(answers: Counter[str]) -> None:
    """Wait until somebody who reads has a page again."""
    before = answers[PAGE]

    async def more() -> bool:
        return answers[PAGE] > before

    began = time.monotonic()
    await until("somebody reads", more, READ_WITHIN)
    print(f"read after {time.monotonic() - began:.1f} s")

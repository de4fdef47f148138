"""What every function of ours is built on: micro-batches on a thread of its own, beside Pulsar's one.

Pulsar's Python instance calls `process` for one message at a time. Here `process` only hands the message over; an
asyncio loop on a second thread takes what has come, up to N, and gives it to a `Handler`. Each message is acked when
its effects are durable. Order per room is kept: whoever must wait is parked with everything behind it in that room,
and the other rooms go on.

    Pulsar thread --process()--> bounded inbox --batch--> Handler.handle --finish()--> ack
                                     ^  rooms that waited, first |
                                     +------ Parking.park <------+
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import pulsar

from chat_functions import logs, metrics
from chat_functions.config_reader import ConfigReader
from chat_functions.deaths import Deaths
from chat_functions.settings import Settings
from chat_functions.traces import Traces
from pulsar_data.config import Live
from pulsar_data.traces import NOT_TRACED, Span


@dataclass(slots=True, eq=False)
class Incoming:
    """One Pulsar message until it is acked."""

    message: pulsar.Message
    attempts: int = 0
    span: Span = NOT_TRACED
    """Of all that is done about it. Ends with its ack."""

    @property
    def payload(self) -> bytes:
        """The bytes as published."""
        return self.message.data()

    @property
    def source(self) -> str:
        """Topic (partition) and message id: unique in the cluster."""
        return f"{self.message.topic_name()}@{self.message.message_id()}"


class Handler(Protocol):
    """The work of one function. Never two `handle` at once; it must not raise for what one message did."""

    THROWS_OUT: ClassVar[bool]
    """Whether a valid message of which it dies may become a dead letter: not if its sender was told that it is safe."""

    async def start(self) -> None:
        """Connect what the first message needs: before Pulsar subscribes, if it does not take too long."""

    async def handle(self, batch: list[Incoming]) -> None:
        """Work a batch. Every message is finished later, by Inbox.finish, or stays with the broker."""

    async def bury(self, incoming: Incoming, reason: str) -> None:
        """Make a dead letter of a message, whatever it is."""


class Inbox:
    """The bounded queue between Pulsar's thread and the loop, and the way back: acks."""

    def __init__(self, batch: int, in_flight: int, traces: Traces) -> None:
        self._context: pulsar.Context | None = None
        self._traces = traces
        self._batch = batch
        self._places = threading.Semaphore(in_flight)
        self._arrived: deque[Incoming] = deque()
        self._held: dict[Incoming, None] = {}
        self._lock = threading.Lock()
        self._woken = False
        self._sleeper: asyncio.Future[None] | None = None

    def submit(self, context: pulsar.Context) -> None:
        """Pulsar's thread, with its one context, which has the message. Blocks while too much is in flight."""
        self._places.acquire()
        self._context = context
        incoming = Incoming(context.message, span=self._traces.message(context.message))
        self._held[incoming] = None
        self._arrived.append(incoming)
        self.wake()

    def wake(self) -> None:
        """Any thread: let `take` return, if need be with nothing."""
        with self._lock:
            self._woken = True
            sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            sleeper.get_loop().call_soon_threadsafe(_end, sleeper)

    async def take(self) -> list[Incoming]:
        """What has come, at most a batch, in the order of arrival. Empty when only woken."""
        with self._lock:
            if not self._woken:
                self._sleeper = asyncio.get_running_loop().create_future()
            sleeper, self._woken = self._sleeper, False
        if sleeper is not None:
            await sleeper
        batch = [self._arrived.popleft() for _ in range(min(self._batch, len(self._arrived)))]
        if self._arrived:
            self._woken = True
        if batch:
            metrics.BATCH_SIZE.observe(len(batch))
        return batch

    def held(self) -> int:
        """Any thread: how many messages are here and not finished."""
        return len(self._held)

    def taken(self) -> list[Incoming]:
        """What was taken and is not finished."""
        waiting = set(self._arrived)
        return [incoming for incoming in list(self._held) if incoming not in waiting]

    def look(self) -> None:
        """Any thread: set the gauges of what is here and not finished."""
        held = list(self._held.copy())
        metrics.IN_FLIGHT.set(len(held))
        age = time.time() - held[0].message.publish_timestamp() / 1000 if held else 0.0
        metrics.OLDEST.set(max(0.0, age))

    def finish(self, incoming: Incoming) -> None:
        """Its effects are durable: ack it. An ack that cannot be sent now means a redelivery, which is harmless."""
        assert self._context is not None, "what is finished has come"
        try:
            self._context.ack(incoming.message.message_id(), incoming.message.topic_name())
        except pulsar.PulsarException as error:
            metrics.ACK_FAILURES.inc()
            logs.warning("ack_failed", source=incoming.source, error=type(error).__name__)
        else:
            metrics.ACKS.inc()
        incoming.span.end()
        self._held.pop(incoming, None)
        self._places.release()


def _end(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


W = TypeVar("W")


class Parking(Generic[W]):
    """Rooms that wait, each with all its work in order. Others go on; a room comes back as a whole."""

    def __init__(self, tasks: asyncio.TaskGroup, wake: Callable[[], None]) -> None:
        self._tasks = tasks
        self._wake = wake
        self._parked: dict[str, list[W]] = {}
        self._ready: list[W] = []

    def holds(self, room: str, work: W) -> bool:
        """True if the room waits; the work then waits behind what is there."""
        queue = self._parked.get(room)
        if queue is None:
            return False
        queue.append(work)
        return True

    def put_back(self, room: str, works: Sequence[W], until: Coroutine[Any, Any, object]) -> None:
        """Park works that go before whatever of the room waits already."""
        queue = self._parked.get(room)
        if queue is None:
            self.park(room, works, until)
        else:
            queue[:0] = works
            until.close()

    def park(self, room: str, works: Sequence[W], until: Coroutine[Any, Any, object]) -> None:
        """The room waits until `until` ends. It must not raise."""
        if room in self._parked:
            raise AssertionError(f"room {room} is parked twice")
        self._parked[room] = list(works)
        metrics.PARKED.inc()
        self._tasks.create_task(self._wait(room, until))

    async def _wait(self, room: str, until: Coroutine[Any, Any, object]) -> None:
        await until
        metrics.PARKED.dec()
        self._ready.extend(self._parked.pop(room))
        self._wake()

    def take_out(self, which: Callable[[W], bool]) -> list[W]:
        """Works that wait no longer, though their rooms do."""
        taken = []
        for room, queue in self._parked.items():
            if out := [work for work in queue if which(work)]:
                taken += out
                self._parked[room] = [work for work in queue if not which(work)]
        return taken

    def ready(self) -> list[W]:
        """Work of rooms that came back: it goes before anything new."""
        works, self._ready = self._ready, []
        return works


ALONE = 10.0
"""Seconds, in the life of a process, that everything else waits for messages of which one may have died."""
DEADLY = "the function dies of it"


Build = Callable[[pulsar.Client, Inbox, asyncio.TaskGroup, Live[Settings]], Handler]


class Loop:
    """The second thread: an asyncio loop that feeds a handler. If it ever dies, the process dies, and is restarted."""

    def __init__(self, name: str, build: Build, client: pulsar.Client, settings: Settings, traces: Traces) -> None:
        self._inbox = Inbox(settings.batch, settings.in_flight, traces)
        self._deaths = Deaths(name, settings.redis_url, settings.attempts)
        self._patience = ALONE
        self._rest: set[Incoming] = set()
        self._breaks_on = settings.breaks_on.encode()
        self._build = build
        self._client = client
        self._live = Live(settings)
        self._config = ConfigReader(client, self._live)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chattifier-batches", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ready(self, within: float) -> bool:
        """Wait until the handler is ready, for so many seconds at most; whether it is."""
        return self._ready.wait(within)

    def submit(self, context: pulsar.Context) -> None:
        """See Inbox."""
        self._inbox.submit(context)

    def held(self) -> int:
        """See Inbox."""
        return self._inbox.held()

    def look(self) -> None:
        """See Inbox."""
        self._inbox.look()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  the edge of the thread; nothing goes on
            logs.failure("function_died", error)  # the broker will redeliver what was not acked
            self._deaths.note([incoming.source for incoming in self._unfinished()])
        finally:
            os.kill(os.getpid(), signal.SIGKILL)  # nothing of ours may go on half: the worker starts it again

    async def _main(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            handler = self._build(self._client, self._inbox, tasks, self._live)
            self._config.start()
            await asyncio.gather(handler.start(), self._config.caught_up(), self._deaths.recall())
            self._ready.set()
            while True:
                await self._handle(handler, await self._inbox.take())

    async def _handle(self, handler: Handler, batch: list[Incoming]) -> None:
        """All at once; but each by itself, in its turn, that an instance was working on when it died."""
        counts = await self._deaths.counts([incoming.source for incoming in batch])
        company: list[Incoming] = []
        self._rest = set(batch)
        for incoming, count in zip(batch, counts, strict=True):
            if count is None:
                company.append(incoming)
                continue
            if company:
                await self._together(handler, company)
                company = []
            await self._alone(handler, incoming, count)
        if company or not batch:
            await self._together(handler, company)

    async def _alone(self, handler: Handler, incoming: Incoming, deaths: int) -> None:
        """With nothing else under way: else nobody could say of what the process dies."""
        incoming.attempts = deaths
        if handler.THROWS_OUT and await self._deaths.may_bury(deaths):
            await handler.bury(incoming, DEADLY)
            return
        if await self._quiet(handler):
            self._deaths.alone = incoming.source
        await self._together(handler, [incoming])
        if self._deaths.alone:
            await self._quiet(handler)
            self._deaths.alone = ""

    async def _quiet(self, handler: Handler) -> bool:
        """Wait until all that was begun is finished; whether it is. All such waits together are bounded."""
        while self._unfinished() and self._patience > 0:
            begun = time.monotonic()
            await asyncio.sleep(0.005)
            await handler.handle([])
            self._patience -= time.monotonic() - begun
        return not self._unfinished()

    def _unfinished(self) -> list[Incoming]:
        """What the handler was given and has not finished."""
        return [incoming for incoming in self._inbox.taken() if incoming not in self._rest]

    async def _together(self, handler: Handler, batch: list[Incoming]) -> None:
        self._rest.difference_update(batch)
        if self._breaks_on and any(self._breaks_on in incoming.payload for incoming in batch):
            raise AssertionError("breaks for a test")
        await handler.handle(batch)


class CrashPoints:
    """For tests only: dies with a given probability at named points, as a kill -9 would.

    It hangs a moment before: by then the Pulsar client has sent off every ack that was given too early, as it does
    each tenth of a second, and what such an ack loses is lost every time.
    """

    HANGS = 0.2

    def __init__(self, probability: dict[str, float]) -> None:
        self._probability = probability

    def pass_by(self, point: str) -> None:
        """Maybe the last line that this process runs."""
        if self._probability and random.random() < self._probability.get(point, 0.0):
            logs.warning("dies_for_a_test", point=point)
            time.sleep(self.HANGS)
            os.kill(os.getpid(), signal.SIGKILL)


async def fewer(
    works: Sequence[W],
    attempt: Callable[[Sequence[W]], Coroutine[Any, Any, list[Any]]],
    transient: tuple[type[Exception], ...],
) -> list[Any]:
    """The answers to all, in order; repeats as `retrying` does, with half as many each time, down to one.

    What takes longer than a call may would take as long the next time, and for ever.
    """
    answers: list[Any] = []
    at_once, delay = len(works), 0.02
    while len(answers) < len(works):
        try:
            answers += await attempt(works[len(answers) : len(answers) + at_once])
        except transient as error:
            logs.warning("waiting", seconds=delay, error=type(error).__name__, detail=str(error)[:200], calls=at_once)
            await asyncio.sleep(delay)
            at_once, delay = max(1, at_once // 2), min(delay * 2, 1.0)
    return answers


async def retrying(attempt: Callable[[], Coroutine[Any, Any, Any]], transient: tuple[type[Exception], ...]) -> Any:
    """Repeat until it works, from 20 ms doubling to 1 s: for what must happen before anything else may."""
    delay = 0.02
    while True:
        try:
            return await attempt()
        except transient as error:
            logs.warning("waiting", seconds=delay, error=type(error).__name__, detail=str(error)[:200])
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)

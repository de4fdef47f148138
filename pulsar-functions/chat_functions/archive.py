"""archive: answers every read. Many at once, each until its deadline; a read changes nothing and may be repeated."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

import pulsar

from chat_functions import (
    copies,
    dead_letters,
    logs,
    members,
    metrics,
    people,
    readings,
    room_history,
    room_log,
    shared_clock,
    stored_messages,
)
from chat_functions.batching import CrashPoints, Inbox, Incoming
from chat_functions.copies import Copies
from chat_functions.dead_letters import DeadLetters
from chat_functions.history import History
from chat_functions.members import MemberLists
from chat_functions.numbering import SCRIPTS
from chat_functions.outbox import Outbox, prepare_deliveries
from chat_functions.people import People
from chat_functions.presence import Presence
from chat_functions.producers import TopicProducer
from chat_functions.readings import Readings
from chat_functions.recovery import Recovery
from chat_functions.redis_link import RedisLink, RedisUnavailable
from chat_functions.room_history import RoomHistory
from chat_functions.room_log import RoomLog
from chat_functions.search import finder
from chat_functions.search.finder import Search
from chat_functions.sessions import Sessions
from chat_functions.settings import Settings
from chat_functions.stored_messages import StoredMessages
from chat_functions.tables import Tables, TablesUnavailable
from chat_functions.views import Views
from pulsar_data import topics
from pulsar_data.clock import Clock
from pulsar_data.config import Live
from pulsar_data.deliveries import Item, Reply
from pulsar_data.errors import ChatError, ErrorCode, RpcError
from pulsar_data.model import Model
from pulsar_data.queries import (
    QUERY,
    CheckSession,
    FindUser,
    GetRoom,
    GetUser,
    ListMembers,
    ListMessages,
    ListRooms,
    OpenRoom,
    OpenSession,
    Query,
    ReadHistory,
    ReadPresence,
    SearchMessages,
)
from pulsar_data.traces import Span

STATEMENTS = (
    *copies.STATEMENTS, *readings.STATEMENTS, *stored_messages.STATEMENTS, *room_log.STATEMENTS, *members.STATEMENTS,
    *people.STATEMENTS, *finder.STATEMENTS, *room_history.STATEMENTS,
)  # fmt: skip

AT_ONCE = 256
"""Queries worked at the same time; others wait in the inbox, and are dropped there at their deadline."""


class Archive:
    """The handler of archive."""

    THROWS_OUT: ClassVar[bool] = True

    def __init__(self, client: pulsar.Client, inbox: Inbox, tasks: asyncio.TaskGroup, live: Live[Settings]) -> None:
        settings = live.now
        self._inbox = inbox
        self._tasks = tasks
        self._tables = Tables(settings)
        self._outbox = Outbox(client, tasks)
        self._settings = settings
        self._redis = redis = RedisLink(settings.redis_url, SCRIPTS)
        views = Views(redis, TopicProducer(client, topics.COMMANDS))
        users = Copies(redis, self._tables)
        rooms, events = Readings(redis, self._tables, users, views), RoomLog(redis, self._tables)
        self._sessions = Sessions(redis, users, views, rooms, Recovery(events, live))
        self._history = History(rooms, StoredMessages(self._tables), events)
        self._room_history = RoomHistory(rooms, events, self._history, self._tables, live)
        self._members = MemberLists(redis, self._tables, rooms, events)
        self._people = People(self._tables)
        self._search = Search(self._tables, rooms, self._history, events) if settings.search else None
        self._presence = Presence(redis, users, views, live)
        self._graves = DeadLetters(TopicProducer(client, dead_letters.topic("archive")), inbox)
        self._crash = CrashPoints(settings.crash_at)
        self._clock = Clock()
        self._places = asyncio.Semaphore(AT_ONCE)

    async def start(self) -> None:
        """Cassandra connects meanwhile: many reads need only Redis, and a client is told to try again."""
        self._tasks.create_task(self._tables.connect(STATEMENTS))
        await asyncio.gather(
            shared_clock.ask(self._redis, self._clock), prepare_deliveries(self._redis, self._outbox, self._settings)
        )
        self._tasks.create_task(shared_clock.follow(self._redis, self._clock))

    async def handle(self, batch: list[Incoming]) -> None:
        """Start each query; wait only when too many are under way."""
        for incoming in batch:
            await self._places.acquire()
            self._tasks.create_task(self._work(incoming))

    async def bury(self, incoming: Incoming, reason: str) -> None:
        """See Handler."""
        await self._graves.bury(incoming, reason)

    async def _work(self, incoming: Incoming) -> None:
        try:
            query = QUERY.validate_json(incoming.payload)
        except ValueError as error:
            await self._graves.bury(incoming, dead_letters.invalid(error))
        else:
            incoming.span.set("chattifier.query", query.type)
            await self._deliver(query, incoming.span)
            self._crash.pass_by("answered")
            self._inbox.finish(incoming)
        finally:
            self._places.release()

    async def _deliver(self, query: Query, span: Span) -> None:
        left = (query.deadline - self._clock.now()) / 1000
        if left <= 0:
            metrics.QUERIES.labels(query.type, "expired").inc()
            logs.info("query_expired", query=query.type)
            span.note("expired")
            return
        self._crash.pass_by("asked")
        with metrics.timed(metrics.QUERY.labels(query.type)):
            answer = await self._answer(_by_our_clock(query, left), left)
        self._crash.pass_by("read")
        error = answer.error if isinstance(answer, Reply) else None
        if error is not None:
            span.set("error.type", error.message)
        metrics.QUERIES.labels(query.type, metrics.OK if error is None else error.message).inc()
        for receipts in await self._outbox.send({query.gateway: [(answer.to_json(), "")]}):
            await receipts.all()

    async def _answer(self, query: Query, left: float) -> Item:
        """The answer, or the error that the client gets. `left`: seconds until nobody waits for it."""
        try:
            async with asyncio.timeout(left):
                return await self._ask(query)
        except ChatError as error:
            return Reply(request=query.request, error=error.reply())
        except (RedisUnavailable, TablesUnavailable) as error:
            logs.warning("read_failed", query=query.type, error=type(error).__name__, detail=str(error)[:200])
            return Reply(request=query.request, error=RpcError.of(ErrorCode.INTERNAL))
        except TimeoutError:
            return Reply(request=query.request, error=RpcError.of(ErrorCode.INTERNAL))
        except Exception as error:  # noqa: BLE001  a defect of ours: a read has no effects, so it costs nobody else's
            logs.failure("read_broke", error)
            return Reply(request=query.request, error=RpcError.of(ErrorCode.INTERNAL))

    async def _ask(self, query: Query) -> Item:
        match query:
            case OpenSession():
                return await self._sessions.open(query)
            case CheckSession():
                await self._sessions.check(query)
                return Reply(request=query.request, result={})
            case OpenRoom():
                return await self._sessions.open_room(query)
            case ReadHistory():
                return await self._room_history.read(query)
            case ReadPresence():
                return Reply(request=query.request, result={"presence": await self._presence.read(query)})
            case _:
                result = await self._read(query)
                return Reply(request=query.request, result=result.to_dict())

    async def _read(self, query: Query) -> Model:
        match query:
            case ListRooms():
                return await self._sessions.list_rooms(query)
            case GetRoom():
                return await self._sessions.get_room(query)
            case ListMessages():
                return await self._history.page(query)
            case SearchMessages() if self._search is not None:
                return await self._search.find(query)
            case ListMembers():
                return await self._members.page(query)
            case GetUser():
                return await self._people.get(query)
            case FindUser():
                return await self._people.find(query)
            case _:
                raise ChatError(ErrorCode.NOT_AVAILABLE, f"nobody answers {query.type} here")


def _by_our_clock(query: Query, left: float) -> Query:
    """The same, with its deadline as this machine will see it come: it was told in the time of Redis."""
    return query.model_copy(update={"deadline": round((time.time() + left) * 1000)})

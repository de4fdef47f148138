"""The last stage of chat-router: deliveries to the room's gateways, the reply to the sender's, then the ack."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chat_functions import entrance, logs, metrics
from chat_functions.batching import CrashPoints, Inbox, retrying
from chat_functions.changes import entering, leaving
from chat_functions.outbox import Items, Outbox, notice_json, publication_json
from chat_functions.producers import Receipts
from chat_functions.redis_link import RedisLink, RedisUnavailable
from chat_functions.work import NOBODY, Work
from pulsar_data import topics
from pulsar_data.commands import CreateRoom, MarkRead, SendMessage
from pulsar_data.deliveries import Item, Reply, UserNews
from pulsar_data.errors import ErrorCode, RpcError
from pulsar_data.events import MessageRead
from pulsar_data.results import Changed, Sent
from pulsar_data.traces import Span

GATEWAYS = topics.gateway("{id}")
"""What spans say of all the gateways' topics."""
TOLD_WITHIN = 60.0
"""Seconds for which it is tried to tell who has entered or left: brokers fail over in less."""
Visible = tuple[Work, tuple[str, ...]]
"""A committed work, and the live gateways that hold members of its room."""


@dataclass(slots=True)
class Courier:
    """Delivers, replies, acks. A delivery that fails is a hole or a missing reply: gateway and client cope."""

    redis: RedisLink
    outbox: Outbox
    inbox: Inbox
    tasks: asyncio.TaskGroup
    crash: CrashPoints

    async def deliver(self, works: Sequence[Visible]) -> None:
        """In order per room. Returns when all is handed over; each work is acked when its deliveries are durable."""
        items: Items = {}
        sendings: list[Span] = []
        await self._tell_readers([work for work, _ in works if work.mark is not None], items)
        for work, gateways in works:
            if work.is_told:
                sendings.append(sending := work.incoming.span.sending(GATEWAYS))
                self._publications(work, gateways, items, sending.traceparent)
                await self._passages(work, items)
            elif entering(work.happened):  # Redis may have been lost between the event and this
                await self._passages(work, items)
            if work.sender is not None:
                items.setdefault(work.sender.gateway, []).append(((await self._reply(work)).to_json(), ""))
        _count([work for work, _ in works])
        self._finish_later(await self.outbox.send(items), [work for work, _ in works], sendings)

    async def refuse(self, work: Work, code: ErrorCode) -> None:
        """Reply with an error, and ack."""
        metrics.COMMANDS.labels(work.command.type, code.message).inc()
        await self._answer(work, Reply(request=(work.sender or NOBODY).request, error=RpcError.of(code)))

    async def repeat(self, work: Work, offset: int, time: int) -> None:
        """Reply that it had happened already, by the event of that offset and time (ms), and ack."""
        metrics.COMMANDS.labels(work.command.type, metrics.DUPLICATE).inc()
        sent = Changed(offset=offset, time=time, duplicate=True)
        await self._answer(work, Reply(request=(work.sender or NOBODY).request, result=sent.to_dict()))

    async def show(self, work: Work) -> None:
        """Reply with the room that was to be created and is there, and ack."""
        metrics.COMMANDS.labels(work.command.type, metrics.DUPLICATE).inc()
        await self._answer(work, await self._summary(work))

    async def nod(self, work: Work) -> None:
        """Reply that it is so, and ack."""
        metrics.COMMANDS.labels(work.command.type, metrics.DUPLICATE).inc()
        await self._answer(work, Reply(request=(work.sender or NOBODY).request, result={}))

    async def _answer(self, work: Work, reply: Reply) -> None:
        if reply.error is not None:
            work.incoming.span.set("error.type", reply.error.message)
        item = (reply.to_json(), "")
        receipts = await self.outbox.send({work.sender.gateway: [item]}) if work.sender is not None else []
        self._finish_later(receipts, [work])

    @staticmethod
    def _publications(work: Work, gateways: tuple[str, ...], items: Items, traceparent: str) -> None:
        encode = publication_json if work.mark is None else notice_json
        publication = encode(work.encoded, work.sender.client if work.sender else None)
        for gateway in gateways:
            items.setdefault(gateway, []).append((publication, traceparent))

    async def _tell_readers(self, works: Sequence[Work], items: Items) -> None:
        """Who has read something learns it on all its devices, whatever the room's size."""
        news = [(work, work.event) for work in works if isinstance(work.event, MessageRead)]
        if not news:
            return
        readers = [read.actor for _, read in news]
        homes = await retrying(lambda: entrance.homes(self.redis, readers), (RedisUnavailable,))
        for (work, read), gateways in zip(news, homes, strict=True):
            client = work.sender.client if work.sender else None
            item = UserNews(user=read.actor, news=read, client=client).to_json()
            for gateway in gateways:
                items.setdefault(gateway, []).append((item, ""))

    async def _passages(self, work: Work, items: Items) -> None:
        """Who has entered or left learns it, behind the event that did it."""
        if work.mark is not None:
            return
        happened, told = work.happened, dict[str, list[Item]]()
        users, gone = [user for user, _ in entering(happened)], leaving(happened)
        if users:
            told = await retrying(lambda: entrance.let_in(self.redis, work.room, users), (RedisUnavailable,))
        elif gone is not None:
            left = entrance.Left(work.room, gone, happened.epoch, happened.offset)
            told = await retrying(lambda: entrance.let_out(self.redis, left), (RedisUnavailable,))
        for gateway, news in told.items():
            items.setdefault(gateway, []).extend((item.to_json(), "") for item in news)

    async def _reply(self, work: Work) -> Reply:
        request = (work.sender or NOBODY).request
        if isinstance(work.command, CreateRoom):
            return await self._summary(work)
        if isinstance(work.command, MarkRead):
            return Reply(request=request, result={})
        numbers = work.numbered
        changed = Changed(offset=numbers.offset, time=numbers.time, duplicate=numbers.duplicate)
        if isinstance(work.command, SendMessage):
            changed = Sent(**dict(changed), seq=numbers.seq)
        return Reply(request=request, result=changed.to_dict())

    async def _summary(self, work: Work) -> Reply:
        request = (work.sender or NOBODY).request
        try:
            view = await retrying(lambda: entrance.look(self.redis, work.room, work.asked.actor), (RedisUnavailable,))
        except entrance.RoomLostError:  # who asks again with the same key is shown it
            return Reply(request=request, error=RpcError.of(ErrorCode.INTERNAL))
        if view is None:  # made once, and left since then
            return Reply(request=request, error=RpcError.of(ErrorCode.NOT_A_MEMBER))
        return Reply(request=request, result=view.summary.to_dict())

    def _finish_later(self, receipts: Sequence[Receipts], works: Sequence[Work], sendings: Sequence[Span] = ()) -> None:
        self.tasks.create_task(self._finish(receipts, works, sendings))

    async def _finish(self, receipts: Sequence[Receipts], works: Sequence[Work], sendings: Sequence[Span]) -> None:
        told = all([all(await receipt.all()) for receipt in receipts])
        for sending in sendings:
            sending.end()
        self.crash.pass_by("delivered")
        passages: list[Work] = []
        if not told:
            logs.warning("not_delivered")  # its gateway is gone, or sees a hole and catches up
            passages = [work for work in works if _is_passage(work)]
        for work in works:
            if work not in passages:
                self.inbox.finish(work.incoming)
        if passages:
            await self._tell_again(passages)
        for work in passages:
            self.inbox.finish(work.incoming)

    async def _tell_again(self, passages: Sequence[Work]) -> None:
        """Who has entered or left: it is in no log of the user, so nobody else would ever tell. It may be repeated."""
        until, delay = time.monotonic() + TOLD_WITHIN, 0.2
        while time.monotonic() < until:
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)
            items: Items = {}
            for work in passages:
                await self._passages(work, items)
            if all([all(await receipts.all()) for receipts in await self.outbox.send(items)]):
                return
        logs.error("passages_untold", count=len(passages))


def _is_passage(work: Work) -> bool:
    """Whether somebody entered or left by it."""
    if work.event is None or work.mark is not None:
        return False
    return bool(entering(work.happened)) or leaving(work.happened) is not None


def _count(works: Sequence[Work]) -> None:
    kinds = Counter((work.command.type, work.mark is None and work.numbered.duplicate) for work in works)
    for (command, duplicate), times in kinds.items():
        metrics.COMMANDS.labels(command, metrics.DUPLICATE if duplicate else metrics.OK).inc(times)

"""The last stage of chat-router: deliveries to the room's gateways, the reply to the sender's, then the ack."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from chat_functions import entrance, messages, rooms
from chat_functions.batching import CrashPoints, Inbox, retrying
from chat_functions.outbox import Items, Outbox, publication_json
from chat_functions.producers import Receipts
from chat_functions.redis_link import RedisLink, RedisUnavailable
from chat_functions.work import NOBODY, Work
from pulsar_data.commands import CreateRoom, SendMessage
from pulsar_data.deliveries import Reply
from pulsar_data.errors import ErrorCode, RpcError

log = logging.getLogger(__name__)

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
        for work, gateways in works:
            if work.numbered.epoch:  # not for an answer out of Cassandra: that was delivered long ago
                self._publications(work, gateways, items)
                await self._entrances(work, items)
            if work.sender is not None:
                items.setdefault(work.sender.gateway, []).append((await self._reply(work)).to_json())
        self._finish_later(await self.outbox.send(items), [work for work, _ in works])

    async def refuse(self, work: Work, code: ErrorCode) -> None:
        """Reply with an error, and ack."""
        await self._answer(work, Reply(request=(work.sender or NOBODY).request, error=RpcError.of(code)))

    async def repeat(self, work: Work, offset: int, time: int) -> None:
        """Reply that it had happened already, by the event of that offset and time (ms), and ack."""
        sent = messages.Sent(offset=offset, time=time, duplicate=True)
        await self._answer(work, Reply(request=(work.sender or NOBODY).request, result=sent.to_dict()))

    async def show(self, work: Work) -> None:
        """Reply with the room that was to be created and is there, and ack."""
        await self._answer(work, await self._summary(work))

    async def _answer(self, work: Work, reply: Reply) -> None:
        receipts = await self.outbox.send({work.sender.gateway: [reply.to_json()]}) if work.sender is not None else []
        self._finish_later(receipts, [work])

    @staticmethod
    def _publications(work: Work, gateways: tuple[str, ...], items: Items) -> None:
        publication = publication_json(work.encoded, work.sender.client if work.sender else None)
        for gateway in gateways:
            items.setdefault(gateway, []).append(publication)

    async def _entrances(self, work: Work, items: Items) -> None:
        users = [user for user, _ in rooms.entering(work.happened)]
        if users:
            entered = await retrying(lambda: entrance.let_in(self.redis, work.room, users), (RedisUnavailable,))
            for gateway, news in entered.items():
                items.setdefault(gateway, []).extend(item.to_json() for item in news)

    async def _reply(self, work: Work) -> Reply:
        if isinstance(work.command, CreateRoom):
            return await self._summary(work)
        numbers = work.numbered
        seq = numbers.seq if isinstance(work.command, SendMessage) else None
        sent = messages.Sent(seq=seq, offset=numbers.offset, time=numbers.time, duplicate=numbers.duplicate)
        return Reply(request=(work.sender or NOBODY).request, result=sent.to_dict())

    async def _summary(self, work: Work) -> Reply:
        request = (work.sender or NOBODY).request
        view = await retrying(lambda: entrance.look(self.redis, work.room, work.asked.actor), (RedisUnavailable,))
        if view is None:
            return Reply(request=request, error=RpcError.of(ErrorCode.NOT_AVAILABLE))
        return Reply(request=request, result=view.summary.to_dict())

    def _finish_later(self, receipts: Sequence[Receipts], works: Sequence[Work]) -> None:
        self.tasks.create_task(self._finish(receipts, works))

    async def _finish(self, receipts: Sequence[Receipts], works: Sequence[Work]) -> None:
        for receipt in receipts:
            if not all(await receipt.all()):
                log.warning("not_delivered: its gateway is gone, or will resume its clients")
        self.crash.pass_by("delivered")
        for work in works:
            self.inbox.finish(work.incoming)

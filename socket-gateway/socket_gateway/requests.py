"""Questions that wait for an answer: commands and queries of this gateway, by request number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pulsar_data.deliveries import HistoryRead, Reply, RoomOpened, SessionOpened
from pulsar_data.errors import ErrorCode, RpcError

Answer = Reply | SessionOpened | RoomOpened | HistoryRead
OnAnswer = Callable[[Answer], None]
Kind = Literal["command", "query", "opening"]
FEW: Final = 4
"""Unanswered questions that a connection may always have."""


def trouble(answer: Answer) -> str:
    """The stable word of the error that it is; "" for none."""
    return answer.error.message if isinstance(answer, Reply) and answer.error is not None else ""


class Took(Protocol):
    """Is told how long an answer took."""

    def observe(self, amount: float) -> None:
        """Seconds."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    answer: OnAnswer
    timer: asyncio.TimerHandle
    since: float
    took: Took
    kind: Kind


class Requests:
    """Each number is answered exactly once, or dropped: by a delivery, by a failure, or when its time is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, took: Mapping[Kind, Took]) -> None:
        self._loop = loop
        self._took = took
        self._last = 0
        self._waiting: dict[int, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def share(self, most: int) -> int:
        """How many of them one connection may have now: `most`, unless many connections have as many.

        Then less what waits beyond `most` (switches share out their buffers so): who asks for much leaves room for who
        asks for little, however many ask for much.
        """
        return max(min(most, FEW), most - max(0, len(self._waiting) - most))

    def number(self) -> int:
        """A fresh number, unique within this boot."""
        self._last += 1
        return self._last

    def expect(self, number: int, kind: Kind, answer: OnAnswer, timeout: float, late: ErrorCode) -> None:
        """Call `answer` with what comes for the number; after `timeout` seconds with the error `late`."""
        timer = self._loop.call_later(timeout, self.fail, number, late)
        self._waiting[number] = _Waiting(answer, timer, self._loop.time(), self._took[kind], kind)

    def fail(self, number: int, code: ErrorCode) -> None:
        """Answer with an error, unless it is answered already."""
        self.resolve(Reply(request=number, error=RpcError.of(code)))

    def resolve(self, answer: Answer) -> Kind | None:
        """An answer has come; returns to what. One that nobody waits for any more is dropped."""
        waiting = self._waiting.pop(answer.request, None)
        if waiting is not None:
            waiting.timer.cancel()
            waiting.took.observe(self._loop.time() - waiting.since)
            waiting.answer(answer)
            return waiting.kind
        return None

    def drop(self, number: int) -> None:
        """Nobody waits for this one any more."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.timer.cancel()

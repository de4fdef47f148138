"""Traces of a gateway: a span for each call, one for each push. Here nothing is recorded; `recording` does.

What is not recorded is handed on all the same: a client's trace reaches whoever records it further on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from pulsar_data.commands import Command
from pulsar_data.deliveries import Publication, RoomNotice
from pulsar_data.queries import Query
from pulsar_data.traces import NOT_TRACED, PROPERTY, Span, parse, unvouched
from socket_gateway.hub import Hub

NOTHING: Final[Mapping[int, str]] = {}
NO_SPAN: Final = nullcontext()


def taken_from(data: object) -> tuple[object, str]:
    """A client's call without the `traceparent` in its data, and that. One that is malformed is as good as none."""
    if not isinstance(data, dict) or PROPERTY not in data:
        return data, ""
    return {name: value for name, value in data.items() if name != PROPERTY}, parse(data[PROPERTY])


class Traces:
    """Spans of a gateway that records none."""

    def call(self, _method: str, _message: Command | Query, traceparent: str = "", *, trusted: bool = False) -> Span:
        """A call of a client or, trusted, of a service: until it is answered. `method` is one of ours."""
        if not traceparent:
            return NOT_TRACED
        return Span(traceparent if trusted else unvouched(traceparent))

    def items(self, _properties: Callable[[], Mapping[str, str]]) -> Mapping[int, str]:
        """Of a delivery with those properties: whose push each of its items, by number, is to be recorded as."""
        return NOTHING

    def push(self, _parent: str, _item: Publication | RoomNotice, _hub: Hub) -> AbstractContextManager[Any]:
        """A publication on its way to all its sockets here: one span for all of them."""
        return NO_SPAN

    def close(self) -> None:
        """Export what is left; blocks for as long as that may take."""

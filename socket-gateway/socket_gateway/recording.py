"""Traces of a gateway that records them. Imported only where an exporter is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog
from opentelemetry.trace import SpanKind

from pulsar_data.commands import Command
from pulsar_data.deliveries import Publication, RoomNotice
from pulsar_data.events import MessageRead
from pulsar_data.queries import Query
from pulsar_data.traces import ITEM, Span, parse
from pulsar_data.tracing import SYSTEM, Tracing
from socket_gateway.hub import Hub
from socket_gateway.traces import Traces

log = structlog.get_logger()
SERVICE = "socket-gateway"


class RecordedTraces(Traces):
    """See Traces. Ids are all that spans hold of users and rooms."""

    def __init__(self, variables: Mapping[str, str], gateway: str) -> None:
        self._tracing = Tracing(variables, SERVICE, gateway, _told)
        self._topic = {"messaging.destination.name": f"persistent://chat/gateways/{gateway}"}

    def call(self, method: str, message: Command | Query, traceparent: str = "", *, trusted: bool = False) -> Span:
        """See Traces. A trace of a client is gone on with, but whether it is recorded is ours to say."""
        parent = traceparent if trusted else self._tracing.judged(traceparent)
        about = {"rpc.method": method, "network.protocol.name": "http" if trusted else "websocket"}
        for name, field in (("enduser.id", "actor"), ("enduser.id", "user"), ("chattifier.room", "room")):
            if isinstance(value := getattr(message, field, None), str):
                about.setdefault(name, value)
        return self._tracing.start(method, SpanKind.SERVER, parent, about)

    def items(self, properties: Callable[[], Mapping[str, str]]) -> Mapping[int, str]:
        """See Traces."""
        return {
            int(number): parent
            for name, value in properties().items()
            if name.startswith(ITEM) and (number := name[len(ITEM) :]).isdecimal() and (parent := parse(value))
        }

    @contextmanager
    def push(self, parent: str, item: Publication | RoomNotice, hub: Hub) -> Iterator[None]:
        """See Traces. Before it ends the bytes are with the kernel, or in the bounded buffer of a slow socket."""
        event, here = item.event, hub.rooms().get(item.event.room)
        operation = {"messaging.operation.name": "push", "messaging.operation.type": "process"}
        sockets = len(here.members) if here is not None else 0
        about = {"chattifier.event": event.type, "chattifier.room": event.room, "chattifier.sockets": sockets}
        span = self._tracing.start("push", SpanKind.CONSUMER, parent, {**SYSTEM, **operation, **self._topic, **about})
        try:
            yield
        finally:
            if not isinstance(event, MessageRead):
                span.set("chattifier.offset", event.offset)
                if here is not None and here.offset < event.offset:
                    span.note("held")  # something before it is missing; it is pushed when that is here
            span.end()

    def close(self) -> None:
        """See Traces."""
        self._tracing.close()


def _told(works: bool) -> None:
    if works:
        log.info("traces_exported_again")
    else:
        log.warning("traces_not_exported", see="OTEL_EXPORTER_OTLP_ENDPOINT")

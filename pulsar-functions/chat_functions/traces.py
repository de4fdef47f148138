"""Traces of a function: a span for each message, from arrival to ack. Here nothing is recorded; `recording` does.

chat-router publishes because of what it has read, so it hands traces on even where it records none.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulsar

from pulsar_data.traces import NOT_TRACED, PROPERTY, Span, parse

ROUTER = "ChatRouter"


class Traces:
    """Spans of a function that records none, and publishes nothing that belongs to a trace."""

    def message(self, _message: pulsar.Message) -> Span:
        """A message has arrived. Pulsar's thread."""
        return NOT_TRACED


class HandedOn(Traces):
    """Spans of a function that records none."""

    def message(self, message: pulsar.Message) -> Span:
        """See Traces."""
        traceparent = parse(message.properties().get(PROPERTY))
        return Span(traceparent) if traceparent else NOT_TRACED


def traces(function: str, variables: Mapping[str, str], name: str, instance: str) -> Traces:
    """Of an instance of that class, whose name in Pulsar and number are the last two."""
    if variables:
        from chat_functions.recording import RecordedTraces  # OpenTelemetry is for those who want it

        return RecordedTraces(variables, name, instance)
    return HandedOn() if function == ROUTER else Traces()

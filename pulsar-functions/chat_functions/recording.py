"""Traces of a function that records them. Imported only where an exporter is configured."""

from __future__ import annotations

from collections.abc import Mapping

import pulsar

from chat_functions import logs
from chat_functions.traces import Traces
from pulsar_data.topics import QUERIES
from pulsar_data.traces import PROPERTY, Span, parse
from pulsar_data.tracing import Tracing


class RecordedTraces(Traces):
    """See Traces. Who publishes to our topics is one of ours, so whether a trace is recorded has been decided."""

    def __init__(self, variables: Mapping[str, str], name: str, instance: str) -> None:
        self._tracing = Tracing(variables, name, f"{name}-{instance}", _told)

    def message(self, message: pulsar.Message) -> Span:
        """See Traces. A message is keyed by its room, a query by its user."""
        topic, parent = message.topic_name(), parse(message.properties().get(PROPERTY))
        key = "enduser.id" if topic.startswith(QUERIES) else "chattifier.room"
        about: dict[str, str | int] = {key: message.partition_key(), "messaging.message.body.size": len(message.data())}
        if again := message.redelivery_count():
            about["chattifier.redelivery"] = again
        return self._tracing.receive(topic, parent, about)


def _told(works: bool) -> None:
    if works:
        logs.info("traces_exported_again")
    else:
        logs.warning("traces_not_exported", see="OTEL_EXPORTER_OTLP_ENDPOINT of chattifier deploy")

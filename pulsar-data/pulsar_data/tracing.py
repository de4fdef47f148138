"""Spans that are recorded, by OpenTelemetry's SDK. Imported only where an exporter of traces is configured.

All of the SDK's own variables count: OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_RESOURCE_ATTRIBUTES.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from pulsar_data import traces
from pulsar_data.errors import ErrorCode

SYSTEM: Final = {"messaging.system": "pulsar"}
OURS: Final = frozenset({ErrorCode.INTERNAL.message})
"""Errors that are our own trouble: such a span has failed. Any other is what a client asked for."""
DEFAULTS: Final = {"OTEL_EXPORTER_OTLP_TIMEOUT": "3"}
"""Seconds, where the SDK has ten: so long a process that ends may wait for a collector that is away."""
Attributes = Mapping[str, str | int]


class Recorded(traces.Span):
    """See traces.Span. Where the sampler did not want it, it costs little, and hands on that it did not."""

    __slots__ = ("_span", "_tracing")

    def __init__(self, span: trace.Span, tracing: Tracing) -> None:
        super().__init__(_traceparent(span.get_span_context()))
        self._span = span
        self._tracing = tracing

    def sending(self, destination: str) -> traces.Span:
        """See traces.Span."""
        if not self._span.is_recording():
            return self
        operation = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
        return self._tracing.start(
            f"send {short(destination)}", SpanKind.PRODUCER, self.traceparent,
            {**SYSTEM, **operation, "messaging.destination.name": destination},
        )  # fmt: skip

    def note(self, event: str) -> None:
        """See traces.Span."""
        if self._span.is_recording():
            self._span.add_event(event)

    def set(self, name: str, value: str | int) -> None:
        """See traces.Span."""
        if self._span.is_recording():
            self._span.set_attribute(name, value)

    def end(self, error: str = "") -> None:
        """See traces.Span."""
        if not self._span.is_recording():
            return
        if error:
            self._span.set_attribute("error.type", error)
        if error in OURS:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Tracing:
    """The tracer of a process. Spans leave it on a thread of its own, in batches, and are dropped where they cannot.

    `variables` are those of `traces.exporter`; no other OTEL_ variable of the process counts. `told`: is called on that
    thread when nothing can be exported any more (False), and when it can again (True).
    """

    def __init__(self, variables: Mapping[str, str], service: str, instance: str, told: Callable[[bool], None]) -> None:
        _become(variables)
        known = {
            "service.namespace": "chattifier",
            "service.name": variables.get("OTEL_SERVICE_NAME") or service,
            "service.instance.id": instance,
        }
        provider = TracerProvider(resource=Resource.create(known))
        if not isinstance(provider.sampler, ParentBased):
            # A trace is recorded whole or not at all; and a sampler that looks at trace ids would look at a client's.
            provider.sampler = ParentBased(provider.sampler)
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # a line for every batch and attempt
        provider.add_span_processor(BatchSpanProcessor(_Told(OTLPSpanExporter(), told)))
        self._provider = provider
        self._tracer = provider.get_tracer("chattifier")

    def start(self, name: str, kind: SpanKind, parent: str, attributes: Attributes) -> Recorded:
        """A span below that `traceparent`; without one, the first of a trace."""
        context = trace.set_span_in_context(NonRecordingSpan(_context(parent))) if parent else None
        return Recorded(self._tracer.start_span(name, context, kind, attributes), self)

    def receive(self, destination: str, parent: str, attributes: Attributes) -> Recorded:
        """A span of the work on one message of a topic, partition included, from its arrival on."""
        topic, partitioned, partition = destination.rpartition("-partition-")
        operation = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
        place = {"messaging.destination.name": topic, "messaging.destination.partition.id": partition}
        if not partitioned:
            topic, place = destination, {"messaging.destination.name": destination}
        return self.start(
            f"process {short(topic)}", SpanKind.CONSUMER, parent, {**SYSTEM, **operation, **place, **attributes}
        )

    def judged(self, traceparent: str) -> str:
        """The same trace, sampled or not by our own choice: as the sampler would choose for one that begins here.

        Neither a client's flag counts nor, to a sampler that goes by it, the trace id that it has chosen.
        """
        if not traceparent:
            return ""
        fresh = self._provider.id_generator.generate_trace_id()
        wanted = self._provider.sampler.should_sample(None, fresh, "").decision is Decision.RECORD_AND_SAMPLE
        return traceparent[:-2] + ("01" if wanted else "00")

    def close(self) -> None:
        """Export what is left; blocks for as long as that may take. A process that ends as it should does it itself."""
        self._provider.shutdown()


def short(destination: str) -> str:
    """What a span of that topic is called: `commands`, and `gateways/{id}` as it is."""
    return destination.removeprefix("persistent://chat/").removeprefix("core/")


class _Told(SpanExporter):
    """Says once that it does not work, and once that it does again, in place of the SDK's lines for each attempt."""

    def __init__(self, exporter: SpanExporter, told: Callable[[bool], None]) -> None:
        self._exporter = exporter
        self._told = told
        self._works = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        result = self._exporter.export(spans)
        works = result is SpanExportResult.SUCCESS
        if works != self._works:
            self._works = works
            self._told(works)
        return result

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """See SpanExporter."""
        return self._exporter.force_flush(timeout_millis)


def _become(variables: Mapping[str, str]) -> None:
    """The SDK reads the environment. A function's is that of Pulsar, whose own variables are not ours."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]
    os.environ.update({**DEFAULTS, **variables})


def _context(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-0{context.trace_flags & 1}"

"""Traces: how one is handed on, in the words of W3C Trace Context, and whether anybody records it.

A `traceparent` travels in the properties of Pulsar messages. What is here records nothing and imports nothing: it is
what runs where no exporter is configured. `tracing` is the other half, with OpenTelemetry's SDK.

    Span                 a part's work on one thing; hands the trace on as it came
    └── tracing.Recorded the same, recorded; hands on that it is its parent
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

NAME: Final = "opentelemetry"
PROPERTY: Final = "traceparent"
"""Of commands, events, queries: the span that published it. Also its name in a client's call, and as an HTTP header."""
ITEM: Final = PROPERTY + "."
"""A delivery holds items of many traces: `traceparent.<n>` is that of the item n, counted from 0."""
_FORM: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.S
)
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def parse(text: object) -> str:
    """A valid `traceparent` as of version 00, with no flag but `sampled`; for anything else nothing, "".

    As the standard wants it: what is malformed is ignored, and a later version is read as far as we know it.
    """
    if not isinstance(text, str) or len(text) > 512 or (found := _FORM.fullmatch(text)) is None:
        return ""
    trace, span, flags, more = found.groups()
    if more is not None and text.startswith("00"):
        return ""
    return f"00-{trace}-{span}-0{int(flags, 16) & 1}"


def unvouched(traceparent: str) -> str:
    """The same trace, not sampled: whoever is not trusted does not decide what we record."""
    return traceparent and traceparent[:-2] + "00"


class Span:
    """A part's work on one call or message. This one is not recorded: all it knows is the `traceparent` it hands on."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str = "") -> None:
        self.traceparent = traceparent

    @property
    def properties(self) -> dict[str, str] | None:
        """Of the Pulsar messages that are published in its course; None for none."""
        return {PROPERTY: self.traceparent} if self.traceparent else None

    def sending(self, _destination: str) -> Span:
        """Something is about to be published in its course; ends when the broker has it. `gateways/{id}`, say."""
        return self

    def note(self, event: str) -> None:
        """It has come so far; a word of ours."""

    def set(self, name: str, value: str | int) -> None:
        """Something to know about it: an id, a number or a word of ours, never what somebody may have written."""

    def end(self, error: str = "") -> None:
        """It is over. `error`: the stable word of one. Any thread; only the first call counts."""


NOT_TRACED: Final = Span()
"""What belongs to no trace."""


@contextmanager
def unseen() -> Iterator[None]:
    """For the first import of redis, which imports OpenTelemetry's SDK wherever it finds it, for metrics of its own.

    That is a fifth of its import, and nobody asks for those metrics. What is imported already stays.
    """
    if NAME in sys.modules:
        yield
        return
    sys.modules[NAME] = None  # type: ignore[assignment]  # the import system's own way to say that it is not there
    try:
        yield
    finally:
        sys.modules.pop(NAME, None)  # threads may be at this together


def exporter(environ: Mapping[str, str]) -> dict[str, str]:
    """The OTEL_ variables, if they name an exporter of traces; otherwise none. Raises ValueError for people."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return {}
    chosen = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if chosen not in ("", "none", "otlp"):
        raise ValueError(f"OTEL_TRACES_EXPORTER is {chosen!r}: it must be otlp or none")
    if chosen == "none" or not (chosen or any(environ.get(name) for name in _ENDPOINTS)):
        return {}
    for name in _PROTOCOLS:
        if environ.get(name, "") not in ("", "http/protobuf"):
            raise ValueError(f"{name} is {environ[name]!r}: it must be http/protobuf, by default at port 4318")
    return {name: value for name, value in environ.items() if name.startswith("OTEL_")}

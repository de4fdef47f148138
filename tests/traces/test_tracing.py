"""The trace context of W3C, and spans of one process, without a stack."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.trace import SpanKind

from chattifier import functions
from chattifier.errors import DeployError
from pulsar_data.traces import NOT_TRACED, Span, exporter, parse, unvouched
from pulsar_data.tracing import Tracing
from tests.auth.function import free_port
from tests.traces.collector import Collector, collecting
from tests.traces.conftest import fresh_traceparent

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WITHIN = 30.0


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (VALID, VALID),
        (VALID[:-1] + "0", VALID[:-1] + "0"),
        (VALID[:-2] + "ff", VALID),  # flags that we do not know
        (VALID.replace("00-4", "cc-4") + "-more", VALID),  # a later version
        (VALID + "-more", ""),
        (VALID.upper(), ""),
        (VALID.replace("00-4", "ff-4"), ""),
        (VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), ""),
        (VALID.replace("00f067aa0ba902b7", "0" * 16), ""),
        (VALID + "\n", ""),
        (" " + VALID, ""),
        ("cc" + VALID[2:] + "-" + "x" * 9999, ""),
        ("", ""),
        (None, ""),
        (1, ""),
        ([VALID], ""),
    ],
)
def test_a_traceparent_is_read_as_the_standard_says(text: object, read: str) -> None:
    assert parse(text) == read


def test_nobody_vouches_for_nothing() -> None:
    assert unvouched("") == ""
    assert unvouched(VALID) == VALID[:-2] + "00"


def test_a_span_that_is_not_recorded_hands_on_what_it_was_given() -> None:
    span = Span(VALID)
    assert span.sending("anywhere").properties == {"traceparent": VALID}
    assert NOT_TRACED.sending("anywhere") is NOT_TRACED
    assert NOT_TRACED.properties is None
    for one in (span, NOT_TRACED):
        one.note("so far")
        one.set("name", 1)
        one.end("conflict")


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "chat"}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, False),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_TRACES_SAMPLER": "always_off"}, True),
    ],
)
def test_an_exporter_is_configured_by_the_standard_variables(given: dict[str, str], kept: bool) -> None:
    assert exporter({"PATH": "/bin", **given}) == (given if kept else {})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin': it must be otlp or none"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'"),
    ],
)
def test_what_we_cannot_export_to_is_said_at_the_start(given: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        exporter(given)
    with pytest.raises(DeployError, match=re.escape(says)):
        functions.traces(given)


def test_the_functions_are_told_what_deploy_was_told_but_neither_keys_nor_names() -> None:
    private = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=none", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=none"}
    more = {"OTEL_SERVICE_NAME": "chat", "PATH": "/bin"}
    assert functions.traces({**ENDPOINT, **private, **more}) == {"traces": ENDPOINT}
    assert functions.traces({}) == {}


@contextmanager
def tracing(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: list[bool]) -> Iterator[Tracing]:
    """A tracer of this process, which has its environment back afterwards."""
    with monkeypatch.context() as changed:
        for name in [name for name in os.environ if name.startswith("OTEL_")]:
            changed.delenv(name)
        for name in variables:
            changed.setenv(name, "")
        own = Tracing({"OTEL_BSP_SCHEDULE_DELAY": "50", **variables}, "tests", "1", told.append)
        try:
            yield own
        finally:
            own.close()
            for name in [name for name in os.environ if name.startswith("OTEL_")]:
                del os.environ[name]


def _until(condition: list[bool] | list[object], count: int) -> None:
    deadline = time.monotonic() + WITHIN
    while len(condition) < count:
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


@pytest.mark.parametrize(("sampler", "argument"), [("traceidratio", "0.5"), ("parentbased_traceidratio", "0.5")])
def test_a_client_decides_neither_by_flag_nor_by_trace_id_what_is_recorded(
    monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str
) -> None:
    """Of trace ids that a ratio would always take, and flags that ask for it, only so many are taken."""
    chosen = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    with collecting() as collector, tracing(monkeypatch, {**collector.variables, **chosen}, []) as own:
        taken = 0
        for number in range(1, 401):
            judged = own.judged(f"00-{number:032x}-{number:016x}-01")
            span = own.start("call", SpanKind.SERVER, judged, {})
            assert span.traceparent[:35] == judged[:35]  # the trace is the client's all the same
            assert span.traceparent[-2:] == judged[-2:]
            taken += judged.endswith("01")
            span.end()
        assert 100 < taken < 300  # 200, by ten standard deviations


def test_what_is_not_sampled_is_handed_on_as_such_and_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    off = {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}
    with collecting() as collector:
        with tracing(monkeypatch, {**collector.variables, **off}, []) as own:
            span = own.start("call", SpanKind.SERVER, own.judged(VALID), {})
            assert span.traceparent.startswith(VALID[:35])
            assert span.sending("commands").properties == {"traceparent": span.traceparent}
            assert span.traceparent.endswith("-00")
            span.end()
        assert collector.spans == []


def test_a_service_decides_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    off = {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}
    with collecting() as collector:
        with tracing(monkeypatch, {**collector.variables, **off}, []) as own:
            own.start("call", SpanKind.SERVER, fresh_traceparent(), {}).end()
            own.start("call", SpanKind.SERVER, fresh_traceparent(sampled=False), {}).end()
        assert len(collector.spans) == 1


def test_a_collector_that_is_away_is_told_of_once_and_missed_by_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[bool] = []
    port = free_port()
    nobody = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with tracing(monkeypatch, nobody, told) as own:
        _span(own)
        _until(told, 1)
        _span(own)
        with collecting(port) as collector:
            _until_exported(own, collector)
        assert told == [False, True]
    assert [record.getMessage() for record in caplog.records] == []


def _span(own: Tracing) -> None:
    own.start("call", SpanKind.SERVER, "", {}).end("conflict")


def _until_exported(own: Tracing, collector: Collector) -> None:
    deadline = time.monotonic() + WITHIN
    while not collector.spans:
        assert time.monotonic() < deadline
        _span(own)
        time.sleep(0.1)


def test_an_end_counts_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with collecting() as collector:
        with tracing(monkeypatch, collector.variables, []) as own:
            span = own.start("call", SpanKind.SERVER, "", {"number": 1})
            span.end("internal")
            span.end("conflict")
            span.set("number", 2)
        (exported,) = collector.spans
    assert exported.failed
    assert exported.attributes == {"number": 1, "error.type": "internal"}
    assert (exported.service, exported.instance) == ("tests", "1")
    assert [record.getMessage() for record in caplog.records] == []

"""Traces of user-auth: a span for each request. Imported only where an exporter of traces is configured."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping

from opentelemetry.trace import SpanKind

from pulsar_data.traces import PROPERTY, parse
from pulsar_data.tracing import Tracing
from user_auth import logs
from user_auth.errors import Code
from user_auth.http import Answer, Request, Router

SERVICE = "user-auth"
PROBE = "/user/healthz"
"""What asks there asks every few seconds."""


class RecordedRouter:
    """Answers as the router does. A span names the endpoint and the status: nothing that a client has written."""

    def __init__(self, router: Router, variables: Mapping[str, str]) -> None:
        self._router = router
        self._variables = variables
        self._paths = {endpoint.path for endpoint in router.endpoints}
        self._methods = {endpoint.method for endpoint in router.endpoints} | {"HEAD", "OPTIONS"}
        self._tracing: Tracing | None = None
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        """See Router. Where a stream answers, until its first line."""
        if request.path == PROBE:
            return self._router.answer(request)
        method = request.method if request.method in self._methods else "_OTHER"
        about = {"http.request.method": method}
        name = method
        if request.path in self._paths:
            about |= {"http.route": request.path, "url.path": request.path}
            name = f"{method} {request.path}"
        tracing = self._ready()
        # Anybody may come: their trace is gone on with, but whether it is recorded is ours to say.
        parent = tracing.judged(parse(request.headers.get(PROPERTY)))
        span = tracing.start(name, SpanKind.SERVER, parent, about)
        answer = self._router.answer(request)
        span.set("http.response.status_code", answer.status)
        span.end(Code.INTERNAL.code if answer.status >= 500 else "")
        return answer

    def _ready(self) -> Tracing:
        """Made by the first request: a process that serves may be forked from one that does not."""
        with self._lock:
            if self._tracing is None:
                self._tracing = Tracing(self._variables, SERVICE, socket.gethostname(), _told)
            return self._tracing


def _told(works: bool) -> None:
    if works:
        logs.info("traces_exported_again")
    else:
        logs.warning("traces_not_exported", see="OTEL_EXPORTER_OTLP_ENDPOINT")

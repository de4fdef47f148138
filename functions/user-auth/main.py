"""user-auth as an HTTP function: target `user_auth` of functions-framework. Turns its requests into ours and back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pulsar_data.addresses import client_address
from user_auth import app, logs, metrics
from user_auth.errors import Code, Refused
from user_auth.http import MAX_BODY, Answer, Request, Router
from user_auth.settings import Settings
from user_auth.stream import Stream

if TYPE_CHECKING:
    import flask

_DRAINED = 4 * 1024 * 1024
"""Bytes of a body that is too long which are read and dropped, so that its sender is there to read the answer. Whoever
sends more may find the connection closed after it."""

_PATIENCE = 10.0
"""Seconds without a byte of the body, or for taking one piece of a stream, before the client is given up: it holds one
of few threads meanwhile."""

METRICS = "/metrics"
"""For Prometheus, from inside: the edge has no route to it, and the OpenAPI document does not show it."""

logs.configure()
settings = Settings.read(os.environ)
router: Router | RecordedRouter = app.router(settings)
if settings.traces:
    from user_auth.recording import RecordedRouter

    router = RecordedRouter(router, settings.traces)
started = metrics.age()
"""How long the cold start took."""


def user_auth(request: flask.Request) -> flask.Response:
    """Answer one request. Never raises: the framework would send the exception's text to the client."""
    from gunicorn.http.errors import ParseException
    from werkzeug.exceptions import HTTPException

    if request.path == METRICS:
        from user_auth import exposition

        return _flask_answer(exposition.answer(started), request.method)
    try:
        answer = router.answer(_read(request))
    except (OSError, ParseException, HTTPException):
        answer = Answer.problem(Refused(Code.MALFORMED_JSON, "The body did not arrive whole."))
    return _flask_answer(answer, request.method)


def _read(request: flask.Request) -> Request:
    return Request(
        method=request.method,
        path=request.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=_body(request),
        address=_address(request),
    )


def _address(request: flask.Request) -> str:
    peer = request.remote_addr or ""
    if settings.address_header:
        return client_address(peer, request.headers.get(settings.address_header, ""), 1)
    return client_address(peer, request.headers.get("X-Forwarded-For", ""), settings.trusted_proxies)


def _body(request: flask.Request) -> bytes:
    """At most MAX_BODY + 1 bytes; of what lies behind, a bounded part is dropped and the rest is never read.

    Raises OSError, ParseException or HTTPException where the body is cut off, badly chunked, or stops coming.
    """
    if connection := request.environ.get("gunicorn.socket"):
        connection.settimeout(_PATIENCE)
    body = request.stream.read(MAX_BODY + 1)
    left = _DRAINED if len(body) > MAX_BODY else 0
    while left > 0 and (chunk := request.stream.read(min(left, 65536))):
        left -= len(chunk)
    return body


def _flask_answer(answer: Answer, method: str) -> flask.Response:
    """As a stream of one piece: before any other answer the framework reads the request's body, however long it is."""
    import flask

    if answer.stream is not None:
        return flask.Response(_pieces(answer.stream, method), answer.status, dict(answer.headers))
    pieces = iter(() if method == "HEAD" else (answer.body,))
    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
    return flask.Response(pieces, answer.status, headers if answer.status != 204 else dict(answer.headers))


def _pieces(stream: Stream, method: str) -> Iterable[bytes]:
    """The framework closes what it has been given, whether it has taken all of it or not."""
    if method != "HEAD":
        return stream
    stream.close()
    return ()

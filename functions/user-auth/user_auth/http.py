"""HTTP without a framework: a request, an answer, and a table of endpoints that leads from one to the other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from user_auth import logs, metrics
from user_auth.cors import NOBODY, Origins
from user_auth.errors import Code, FieldError, InvalidFields, Refused
from user_auth.stream import Stream
from user_auth.tokens import invalid_token

MAX_BODY: Final = 16 * 1024
"""Bytes; a longer body is a 413."""
JSON_LINES: Final = "application/x-ndjson"

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True)
class Request:
    """`headers` by lower-case name; `body` is cut off behind MAX_BODY + 1 bytes; `address` is whom limits count."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    address: str

    def parse(self, model: type[B]) -> B:
        """The body as a model. Raises Refused: 413, 415, 400 for what is not JSON, 422 for what does not fit."""
        if len(self.body) > MAX_BODY:
            raise Refused(Code.BODY_TOO_LARGE, f"The body may have {MAX_BODY} bytes.")
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json.")
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            raise _unfit(error) from None

    def bearer(self) -> str:
        """The token of the Authorization header. Raises Refused 401."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise invalid_token()
        return token.strip()


@dataclass(frozen=True)
class Answer:
    """What goes back. `body` is complete, unless there is a `stream` in its place."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Stream | None = None

    @classmethod
    def of(cls, status: int, model: BaseModel, **headers: str) -> Answer:
        """A JSON answer that nobody may keep, unless `headers` say otherwise."""
        default = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return cls(status, model.model_dump_json().encode(), {**default, **headers})

    @classmethod
    def lines(cls, stream: Stream) -> Answer:
        """JSON objects, one a line, that nobody may keep."""
        return cls(200, headers={"Content-Type": JSON_LINES, "Cache-Control": "no-store"}, stream=stream)

    @classmethod
    def problem(cls, refused: Refused) -> Answer:
        """The RFC 9457 answer of a refusal."""
        problem = refused.problem()
        challenge = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else {}  # RFC 9110 wants one in every 401
        always = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
        headers = {**always, **challenge, **refused.headers}
        return cls(problem.status, problem.model_dump_json(exclude_none=True).encode(), headers)


@dataclass(frozen=True)
class Endpoint:
    """One method of one path, as the router needs it and as the OpenAPI document shows it.

    `refusals`: the codes it may answer, beyond those that follow from `takes` and `bearer`. `lines`: where it answers
    with JSON lines, gives their models when the document is made, so that a start need not import them.
    """

    method: str
    path: str
    name: str
    summary: str
    handle: Callable[[Request], Answer]
    status: int = 200
    gives: type[BaseModel] | None = None
    takes: type[BaseModel] | None = None
    bearer: bool = False
    refusals: Sequence[Code] = ()
    lines: Callable[[], Sequence[type[BaseModel]]] | None = None


class Router:
    """Finds the endpoint of a request and answers every failure as a problem: nothing else ever reaches the client."""

    def __init__(self, endpoints: Sequence[Endpoint], origins: Origins = NOBODY) -> None:
        self._origins = origins
        self.endpoints = tuple(endpoints)
        self._paths: dict[str, dict[str, Endpoint]] = {}
        for endpoint in self.endpoints:
            self._paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint

    def answer(self, request: Request) -> Answer:
        """Never raises: this is the edge of the process."""
        if self._origins.is_preflight(request):
            answer = Answer(204, headers=self._origins.preflight())
        else:
            answer = self._answer(request)
        return replace(answer, headers={**answer.headers, **self._origins.headers(request)})

    def _answer(self, request: Request) -> Answer:
        began, name, outcome = time.perf_counter(), metrics.UNKNOWN, metrics.OK
        try:
            endpoint = self._find(request)
            name = endpoint.name
            answer = endpoint.handle(request)
        except Refused as refused:
            answer, outcome = Answer.problem(refused), refused.code.code
        except Exception as error:  # noqa: BLE001  the edge: a bug becomes a 500 without a word of its text
            logs.failure("request_failed", error, method=request.method[:16], path=request.path[:64])
            answer = Answer.problem(Refused(Code.INTERNAL, "This failed on our side. It has been noted."))
            outcome = Code.INTERNAL.code
        metrics.REQUESTS.add(name, outcome)
        metrics.REQUEST.add(time.perf_counter() - began, name)
        return answer

    def _find(self, request: Request) -> Endpoint:
        methods = self._paths.get(request.path)
        if methods is None:
            raise Refused(Code.NOT_FOUND, "There is nothing at this path.")
        endpoint = methods.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None:
            allowed = sorted({*methods, *({"HEAD"} if "GET" in methods else ())})
            raise Refused(
                Code.METHOD_NOT_ALLOWED, f"This path takes {', '.join(allowed)}.", {"Allow": ", ".join(allowed)}
            )
        return endpoint


def _unfit(error: ValidationError) -> Refused:
    """Names of fields and stable words only: a value may be a password."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    if any(fault["type"] == "json_invalid" for fault in faults):
        return Refused(Code.MALFORMED_JSON, "The body is not JSON.")
    return InvalidFields(tuple(FieldError(field=_place(fault["loc"]), code=fault["type"]) for fault in faults))


def _place(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location)[:64]


def as_json(document: object) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()

"""Traces over HTTP: what user-auth leaves at the collector, and a service's trace through the server API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chattifier import keys
from chattifier.layout import Layout
from tests.auth.function import running as running_auth
from tests.canary import CANARY, fresh_password
from tests.clients.people import Person
from tests.clients.waiting import until
from tests.gateway.client import session
from tests.gateway.separate import separate
from tests.running_stack import Stack
from tests.traces.collector import Collector, Span, collecting
from tests.traces.conftest import fresh_traceparent

pytestmark = [pytest.mark.stack]
WITHIN = 30.0
OFF = {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}


def _stores(stack: Stack) -> dict[str, str]:
    return {
        "CHATTIFIER_CASSANDRA": f"{stack.cassandra.host}:{stack.cassandra.port}",
        "CHATTIFIER_KEYSPACE": stack.cassandra.keyspace,
        "CHATTIFIER_REDIS_URL": stack.redis.url,
        "CHATTIFIER_PULSAR_URL": stack.pulsar.service_url,
        "CHATTIFIER_AUTH_LIMITS": "off",
    }


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """One that listens."""
    with collecting() as collector:
        yield collector


def test_a_request_to_user_auth_is_a_span_that_names_the_endpoint(
    stack: Stack, collector: Collector, tmp_path: Path
) -> None:
    parent, password = fresh_traceparent(sampled=False), fresh_password()
    with running_auth(tmp_path / "auth", {**_stores(stack), **collector.variables}) as auth, auth.client() as http:
        person = {"username": f"{CANARY}"[:32], "password": password}
        http.post("/user/login", json=person, headers={"traceparent": parent})
        http.get(f"/user/{CANARY}")
        http.request("BREW", "/user/me")
        http.get("/user/healthz")
        spans = _exported(collector, 3)
    login = next(span for span in spans if span.name == "POST /user/login")
    assert (login.service, login.kind) == ("user-auth", "server")
    assert (login.trace, login.parent) == tuple(parent.split("-")[1:3])
    assert login.attributes["http.route"] == "/user/login"
    assert login.attributes["http.response.status_code"] == 401
    assert not login.failed
    assert sorted(span.name for span in spans) == ["GET", "POST /user/login", "_OTHER /user/me"]
    assert CANARY.encode() not in b"".join(collector.raw)
    assert not any(b"opentelemetry" in line for line in auth.log.read_bytes().splitlines())


def _exported(collector: Collector, count: int) -> list[Span]:
    deadline = time.monotonic() + WITHIN
    while len(collector.spans) < count:
        assert time.monotonic() < deadline, collector.spans
        time.sleep(0.05)
    return list(collector.spans)


@pytest.mark.anyio
async def test_a_service_decides_what_is_recorded_and_a_client_does_not(
    stack: Stack, jwks: Path, people: tuple[Person, Person]
) -> None:
    """The gateway's sampler says no to everything that it is asked about."""
    ada, _ = people
    token = keys.service_token(Layout(stack.data).service_keys, "tests", 600)
    service_keys = {"CHATTIFIER_SERVICE_JWKS_FILE": str(Layout(stack.data).service_jwks)}
    theirs, ours = fresh_traceparent(), fresh_traceparent()
    with collecting() as collector:
        variables = {**collector.variables, **OFF, **service_keys}
        async with separate(stack, jwks, **variables) as gateway, session(gateway.url, ada.token) as (wire, _):
            await wire.rpc("room.list", {"traceparent": theirs})
            base = gateway.url.replace("ws://", "http://").removesuffix("/connection/websocket")
            headers = {"Authorization": f"Bearer {token}", "traceparent": ours}
            async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30, trust_env=False) as http:
                call = {"method": "room.list", "data": {}, "as": ada.user}
                (await http.post("/api/rpc", json=call)).raise_for_status()
            await until("the service's spans", lambda: _are(collector, 2), WITHIN)
    _, trace, caller, _ = ours.split("-")
    (call_span,) = [span for span in collector.spans if span.name == "room.list"]
    (sending,) = [span for span in collector.spans if span.name == "send queries"]
    assert (call_span.trace, call_span.parent, sending.parent) == (trace, caller, call_span.id)
    assert call_span.attributes["enduser.id"] == ada.user
    assert {span.trace for span in collector.spans} == {trace}


async def _are(collector: Collector, count: int) -> bool:
    return len(collector.spans) >= count

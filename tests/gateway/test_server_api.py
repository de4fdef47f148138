"""The server API: what a socket can call, a server can, as any user or as the system."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from openapi_spec_validator import validate
from openapi_spec_validator.readers import read_from_filename

from chattifier import keys
from chattifier.layout import Layout
from socket_gateway import api_document, server_api
from socket_gateway.server_api import Allowance
from socket_gateway.settings import Limits
from tests.patient import AsyncPatient

from .client import session
from .people import Person, key, make_room, sign_up
from .running import running

anyio = pytest.mark.anyio
DOCUMENT = Path(__file__).parents[2] / "docs" / "server-api.yaml"
People = tuple[Person, Person, Person]


class Server:
    """A server of the product around us."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def post(self, body: object, **headers: str) -> httpx.Response:
        """Any body."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self._http.post("/api/rpc", content=content, headers=headers)

    async def call(self, method: str, data: dict[str, Any], user: str | None = None) -> dict[str, Any]:
        """A call that must work."""
        response = await self.post({"method": method, "data": data} | ({"as": user} if user else {}))
        assert response.status_code == 200, response.text
        result: dict[str, Any] = response.json()
        return result

    async def problem(self, body: object, **headers: str) -> tuple[int, str]:
        """Status and code of a call that must fail."""
        response = await self.post(body, **headers)
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == response.status_code >= 400
        assert problem["title"]
        return response.status_code, problem["code"]


def _http(url: str, token: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    base = url.replace("ws://", "http://").removesuffix("/connection/websocket")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return httpx.AsyncClient(base_url=base, headers=headers, transport=transport or AsyncPatient(), timeout=30)


@pytest.fixture
async def server(stack: Any) -> AsyncIterator[Server]:
    """With the local stack's own service key, at its second gateway."""
    token = keys.service_token(Layout(stack.data).service_keys, "tests", 600)
    async with _http(stack.gateways[1], token) as http:
        yield Server(http)


@anyio
async def test_a_bot_types(stack: Any, server: Server, people: People) -> None:
    """Members see it as from anybody; who is in no room, as the system, is told so."""
    ada, grace, mallory = people
    async with session(stack.gateways[0], ada.token) as (wire, _):
        room = await make_room(wire, grace)
        assert await server.call("typing", {"room": room}, grace.id) == {}
        await wire.until(lambda: any(
            (data := push.get("pub", {}).get("data", {})).get("type") == "typing" and data["actor"] == grace.id
            for push in wire.pushes
        ))  # fmt: skip
        assert await server.problem({"method": "typing", "data": {"room": room}}) == (403, "not_a_member")
        stranger = {"method": "typing", "data": {"room": room}, "as": mallory.id}
        assert await server.problem(stranger) == (403, "not_a_member")
        assert await server.problem({"method": "typing", "data": {}, "as": grace.id}) == (400, "bad_request")


@anyio
async def test_a_server_acts_as_any_user(stack: Any, server: Server, people: People) -> None:
    """Rooms, messages and reads of a user who was never even connected; a socket hears them like any other."""
    ada, grace = await asyncio.to_thread(sign_up, stack.auth), people[1]
    async with session(stack.gateways[0], grace.token) as (wire, _):
        data = {"key": key(), "kind": "group", "name": "by a server", "members": [grace.id]}
        room = (await server.call("room.create", data, ada.id))["room"]
        send = {"room": room, "key": key(), "text": "from a server"}
        sent = await server.call("message.send", send, ada.id)
        assert await server.call("message.send", send, ada.id) == sent | {"duplicate": True}
        await wire.heard(room, 1)
        (event,) = wire.events(room)
        assert (event["actor"], event["text"], event["offset"]) == (ada.id, "from a server", sent["offset"])
        page = await server.call("message.list", {"room": room}, grace.id)
        assert [message["text"] for message in page["messages"]] == ["from a server"]
        assert room in {one["room"] for one in (await server.call("room.list", {}, ada.id))["rooms"]}


@anyio
async def test_the_system_speaks_in_rooms_it_is_no_member_of(stack: Any, server: Server, people: People) -> None:
    """Without `as`."""
    async with session(stack.gateways[0], people[0].token) as (wire, _):
        room = await make_room(wire)
        sent = await server.call("message.send", {"room": room, "key": key(), "text": "maintenance at noon"})
        await wire.heard(room, 1)
        assert wire.offsets(room) == [sent["offset"]]


@anyio
async def test_what_fails_is_a_problem_with_the_sockets_own_code(stack: Any, server: Server, people: People) -> None:
    """Nothing of it is the server's fault, and nothing is a 500."""
    ada, _, mallory = people
    async with session(stack.gateways[0], ada.token) as (wire, _):
        room = await make_room(wire)
    send = {"room": room, "key": key(), "text": "x"}
    call = {"method": "message.send", "data": send, "as": ada.id}
    assert await server.problem(call | {"as": mallory.id}) == (403, "not_a_member")
    assert await server.problem(call | {"as": str(uuid.uuid4())}) == (404, "user_not_found")
    assert await server.problem(call | {"method": "no.such"}) == (404, "method_not_found")
    assert await server.problem(call | {"data": {}}) == (400, "bad_request")
    assert await server.problem(call | {"data": 5}) == (400, "bad_request")
    assert await server.problem(call | {"as": "me"}) == (400, "bad_request")
    assert await server.problem(call | {"more": 1}) == (400, "bad_request")
    for body in (b"", b"{", b"[]", b"null", b"\xff", b'{"method":"room.list","data":' + b"[" * 5000):
        assert await server.problem(body) == (400, "bad_request")
    assert await server.problem(call | {"data": send | {"text": "x" * 70_000}}) == (413, "limit_exceeded")
    await server.call("message.send", send, ada.id)
    assert await server.problem(call | {"data": send | {"text": "y"}}) == (409, "conflict")


@anyio
async def test_only_a_service_token_may_call(stack: Any, server: Server) -> None:
    """Not a user's, none without the scope, none of another key, none that has expired, and not none."""
    pem = max(Layout(stack.data).service_keys.glob("*.pem"))
    now = int(time.time())
    claims = {"iss": "chattifier", "aud": "chattifier", "sub": "s", "scope": "service", "iat": now, "exp": now + 60}

    def token(signer: Any = None, **changes: object) -> str:
        return jwt.encode(claims | changes, signer or pem.read_text(), algorithm="EdDSA", headers={"kid": pem.stem})

    person = await asyncio.to_thread(sign_up, stack.auth)
    call = {"method": "room.list", "data": {}, "as": person.id}
    assert (await server.post(call, Authorization=f"bearer {token()}")).status_code == 200
    refused = {
        "a user's": person.token,
        "another scope": token(scope="services"),
        "no scope": token(scope=""),
        "another key": token(Ed25519PrivateKey.generate()),
        "expired": token(exp=now - 1),
        "another audience": token(aud="shop"),
        "nobody's": token(sub=""),
        "no token": "x",
    }
    for what, wrong in refused.items():
        response = await server.post(call, Authorization=f"Bearer {wrong}")
        assert response.status_code == 401, what
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["code"] == "unauthorized"
    assert (await server.post(call, Authorization=f"Basic {token()}")).status_code == 401
    async with session(stack.gateways[0], person.token) as (wire, _):
        await wire.send({"refresh": {"token": token()}})
        assert await wire.closed() == 3500


@anyio
async def test_without_keys_of_services_there_is_no_server_api(stack: Any, jwks: Path) -> None:
    """404, whatever the token."""
    async with running(stack, jwks) as gateway, _http(gateway.http, "x") as http:
        assert await Server(http).problem({"method": "room.list"}) == (404, "method_not_found")
        assert (await http.get("/api/rpc")).status_code == 405


@anyio
async def test_calls_are_limited_and_the_log_names_them_without_their_text(
    stack: Any, jwks: Path, people: People, capfd: pytest.CaptureFixture[str]
) -> None:
    """429 with Retry-After, temporary; the audit line holds service, method, user and room."""
    token = keys.service_token(Layout(stack.data).service_keys, "a-bot", 600)
    limits = Limits(calls=0.001, calls_burst=3, drain=0.1)
    service = Layout(stack.data).service_jwks
    room = str(uuid.uuid4())
    send = {"room": room, "key": key(), "text": "tell nobody"}
    call = {"method": "message.send", "data": send, "as": people[0].id}
    once = httpx.AsyncHTTPTransport()
    async with (
        running(stack, jwks, limits, service_jwks_file=service) as gateway,
        _http(gateway.http, token, once) as http,
    ):
        answers = [await Server(http).post(call) for _ in range(4)]
    assert 429 not in [answer.status_code for answer in answers[:3]]
    assert answers[3].status_code == 429
    assert int(answers[3].headers["retry-after"]) > 0
    logged = "".join(capfd.readouterr())
    assert "a-bot" in logged
    assert room in logged
    assert "tell nobody" not in logged
    assert token not in logged


def test_an_allowance_fills_up_again() -> None:
    """Each service has its own."""
    take = partial(Allowance().take, rate=2.0, burst=2)
    assert [take("a", 10.0) for _ in range(3)] == [True, True, False]
    assert take("b", 10.0)
    assert not take("a", 10.4)
    assert [take("a", 10.6) for _ in range(2)] == [True, False]
    assert [take("a", 1000.0) for _ in range(3)] == [True, True, False]


def test_the_document_in_docs_is_the_one_of_the_code() -> None:
    """If not: `python socket-gateway/write_openapi.py`."""
    written, _ = read_from_filename(str(DOCUMENT))
    generated = json.loads(json.dumps(api_document.document()))
    assert dict(written) == generated
    validate(generated)
    methods = {
        schema["properties"]["method"]["const"]
        for schema in generated["components"]["schemas"].values()
        if "method" in schema.get("properties", {})
    }
    assert methods == set(server_api.METHODS)

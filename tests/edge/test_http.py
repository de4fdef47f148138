"""What the edge lets in over HTTP, and what it refuses."""

from __future__ import annotations

import secrets
import socket
import time
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from tests.gateway.people import Person, sign_up
from tests.running_stack import Stack

from .conftest import ORIGIN, visit

pytestmark = pytest.mark.stack


@pytest.fixture
def person(stack: Stack) -> Person:
    """Somebody who signed up and in through the edge."""
    return sign_up(stack.edge)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _problem(response: httpx.Response) -> tuple[int, str]:
    """Status and stable code; the rest of a problem is there as well."""
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["title"]
    assert problem["detail"]
    return problem["status"], problem["code"]


def test_whoever_signs_up_through_the_edge_can_use_the_private_paths(visitor: httpx.Client, person: Person) -> None:
    me = visitor.get("/user/me", headers=_bearer(person.token))
    assert (me.status_code, me.json()["username"]) == (200, person.name)
    assert visitor.post("/user/logout", headers=_bearer(person.token)).status_code == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/user/me"),
        ("GET", "/user/me/sessions"),
        ("GET", "/user/me/export"),
        ("DELETE", "/user/me"),
        ("GET", "//user//me"),
        ("POST", "/user/logout"),
        ("POST", "/user/logout-all"),
        ("POST", "/user/password"),
    ],
)
def test_a_private_path_without_a_token_is_refused_before_it_reaches_anybody(
    stack: Stack, visitor: httpx.Client, method: str, path: str
) -> None:
    response = visitor.request(method, f"{stack.edge}{path}")
    assert _problem(response) == (401, "invalid_token")
    assert response.headers["server"] == "edge"
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_token_that_was_changed_or_is_in_the_query_is_none(visitor: httpx.Client, person: Person) -> None:
    head, claims, _ = person.token.split(".")
    other = jwt.encode({"alg": "none"}, "k" * 32).split(".")[2]
    assert _problem(visitor.get("/user/me", headers=_bearer(f"{head}.{claims}.{other}"))) == (401, "invalid_token")
    assert _problem(visitor.get("/user/me", params={"access_token": person.token})) == (401, "invalid_token")


def test_an_expired_token_is_called_so(stack: Stack, visitor: httpx.Client, person: Person) -> None:
    (key, *_) = sorted((stack.data / "keys" / "signing").glob("*.pem"))
    claims = {**person.claims, "iat": time.time() - 7200, "exp": time.time() - 3600}
    expired = jwt.encode(claims, key.read_bytes(), algorithm="EdDSA", headers={"kid": key.stem})
    assert _problem(visitor.get("/user/me", headers=_bearer(expired))) == (401, "token_expired")


def test_a_body_that_is_too_large_is_refused(visitor: httpx.Client) -> None:
    assert _problem(visitor.post("/user/login", content=b" " * (16 * 1024 + 1))) == (413, "body_too_large")
    chunks = (b" " * 1024 for _ in range(17))
    assert _problem(visitor.post("/user/login", content=chunks)) == (413, "body_too_large")


def test_headers_that_are_too_large_are_refused(visitor: httpx.Client) -> None:
    assert visitor.get("/user/openapi.json", headers={"X-Much": "a" * 17_000}).status_code == 431


@pytest.mark.parametrize("path", ["/nothing", "/user/../readyz", "/readyz", "/metrics", "/user/nothing"])
def test_an_unknown_path_is_404(stack: Stack, path: str) -> None:
    assert _raw(stack, path) == 404


@pytest.mark.parametrize("path", ["/user%2fme", "/connection%2F..%2Freadyz"])
def test_a_path_that_others_could_read_otherwise_is_refused(stack: Stack, path: str) -> None:
    assert _raw(stack, path) == 400


def _raw(stack: Stack, path: str) -> int:
    """The status of a path sent as it is; libraries tidy paths up."""
    place = urlsplit(stack.edge)
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_pages_of_other_origins_are_refused_and_our_own_is_not(stack: Stack, visitor: httpx.Client) -> None:
    for foreign in (ORIGIN, "null", f"{stack.edge}.evil.example.org", f"http://evil.{urlsplit(stack.edge).netloc}"):
        refused = visitor.get("/user/openapi.json", headers={"Origin": foreign})
        assert _problem(refused) == (403, "origin_not_allowed"), foreign
        assert not any(name.startswith("access-control") for name in refused.headers)
    assert visitor.get("/user/openapi.json", headers={"Origin": stack.edge}).status_code == 200


def test_the_web_client_is_at_the_root_and_finds_everything_where_it_came_from(
    stack: Stack, visitor: httpx.Client
) -> None:
    assert "text/html" in visitor.get("/").headers["content-type"]
    socket_address = f"{stack.edge.replace('http', 'ws', 1)}/connection/websocket"
    assert visitor.get("/config.json").json() == {"auth": stack.edge, "sockets": [socket_address]}


def test_the_server_api_is_behind_it_and_asks_for_its_own_tokens(visitor: httpx.Client, person: Person) -> None:
    """Whether there is one at all, the gateways' settings say; a user's token is never enough."""
    call = {"method": "room.list", "data": {}}
    answer = visitor.post("/api/rpc", json=call, headers=_bearer(person.token))
    assert answer.status_code in (401, 404)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}])
def test_a_call_without_a_service_token_is_refused_as_a_gateway_refuses_it(
    stack: Stack, visitor: httpx.Client, headers: dict[str, str]
) -> None:
    """By the edge: see test_limits."""
    gateway = stack.gateways[0].replace("ws://", "http://").removesuffix("/connection/websocket")
    call = {"method": "room.list", "data": {}}
    theirs, ours = (visitor.post(f"{door}/api/rpc", json=call, headers=headers) for door in (gateway, stack.edge))
    assert _problem(ours) == (401, "unauthorized")
    assert ours.json() == theirs.json()
    assert ours.headers["www-authenticate"] == theirs.headers["www-authenticate"]


def test_a_call_whose_token_is_none_is_refused_while_its_body_is_still_on_its_way(stack: Stack) -> None:
    """So nobody fills the edge's memory with bodies: it takes none of a call before a gateway has seen the token."""
    place = urlsplit(stack.edge)
    head = f"POST /api/rpc HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer x\r\nContent-Length: 60000\r\n\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.makefile("rb").readline().split()[1] == b"401"


def test_whom_user_auth_counts_is_who_is_connected_not_who_somebody_claims_to_be(stack: Stack) -> None:
    """A flood from one address is refused at the edge, whatever it writes into its headers; others are served."""
    with visit(stack) as flood, visit(stack) as other:
        statuses: list[int] = []
        while 429 not in statuses and len(statuses) < 3000:
            lie = f"198.51.100.{len(statuses) % 250}"
            headers = {"X-Forwarded-For": lie, "X-Client-Address": lie}
            answer = flood.get("/user/me", headers=headers)
            statuses.append(answer.status_code)
        assert statuses[-1] == 429
        assert answer.headers["retry-after"] == "1"
        assert set(statuses[:-1]) == {401}
        assert other.get("/user/me").status_code == 401


def test_the_access_log_has_every_request_and_no_token_and_no_query(
    stack: Stack, visitor: httpx.Client, person: Person
) -> None:
    mark, secret = secrets.token_hex(8), secrets.token_hex(16)
    visitor.get(f"/user/{mark}", params={"access_token": secret}, headers=_bearer(person.token))
    visitor.post(
        f"/user/{mark}", json={"password": secret}, headers={"Cookie": secret, "Referer": f"http://x/{secret}"}
    )
    log = stack.data / "logs" / "edge.log"
    deadline = time.monotonic() + 30  # it is written every second
    while log.read_text().count(mark) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    written = log.read_text()
    assert written.count(mark) == 2
    assert secret not in written
    assert person.token not in written
    assert person.token.rpartition(".")[2] not in written

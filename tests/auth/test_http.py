"""What is not a request of ours gets a problem, and nothing of the inside."""

from __future__ import annotations

import socket

import httpx
import pytest

from .function import Function
from .people import PASSWORD, attempt, code, refresh, sign_up

pytestmark = pytest.mark.stack

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/", "/user", "/user/", "/user/login/", "/user/../etc", "/user/nothing"])
def test_an_unknown_path_is_a_404(client: httpx.Client, path: str) -> None:
    assert code(client.get(path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/user/login", "POST"),
        ("PUT", "/user/me", "DELETE, GET, HEAD, PATCH"),
        ("OPTIONS", "/user/me", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/.well-known/jwks.json", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_which_are_right(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)
    assert code(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_a_body_of_another_type_is_a_415(client: httpx.Client, media_type: str) -> None:
    answer = client.post("/user/login", content=b"{}", headers={"Content-Type": media_type})
    assert code(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 10_000, b'{"username": "\xff"}', b'{"username": "\\ud800"}'])
def test_what_is_not_json_is_a_400(client: httpx.Client, body: bytes) -> None:
    assert code(client.post("/user/login", content=body, headers=JSON)) == (400, "malformed_json")


@pytest.mark.parametrize(
    "body", [b"null", b"NaN", b"[]", b'"x"', b"7", b'{"username": "x"}', b'{"username": {}, "password": []}']
)
def test_json_of_another_shape_is_a_422(client: httpx.Client, body: bytes) -> None:
    assert code(client.post("/user/login", content=body, headers=JSON)) == (422, "invalid_fields")


@pytest.mark.parametrize("size", [16 * 1024 + 1, 3_000_000])
def test_a_body_over_16_kib_is_a_413_and_the_connection_lives(client: httpx.Client, size: int) -> None:
    answer = client.post("/user/login", content=b"x" * size, headers=JSON)
    assert code(answer) == (413, "body_too_large")
    assert client.get("/user/healthz").status_code == 200


def test_a_body_without_a_length_is_measured_too(client: httpx.Client) -> None:
    answer = client.post("/user/login", content=iter([b"x" * 10_000] * 10), headers=JSON)
    assert code(answer) == (413, "body_too_large")


def test_a_body_of_exactly_16_kib_is_read(client: httpx.Client) -> None:
    body = b'{"username":"' + b"x" * (16 * 1024 - 29) + b'","password":""}'
    assert len(body) == 16 * 1024
    assert code(client.post("/user/login", content=body, headers=JSON)) == (401, "bad_credentials")


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
        b"Content-Length: 100\r\n\r\n{",
    ],
    ids=["no chunk size", "no end of chunk", "stops coming"],
)
def test_a_body_that_does_not_arrive_whole_is_a_400_and_frees_its_thread(function: Function, rest: bytes) -> None:
    """The third sender keeps the connection open and silent: it is given up after ten seconds."""
    address = httpx.URL(function.url)
    head = b"POST /user/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection((address.host, address.port or 80), timeout=30) as connection:
        connection.sendall(head + rest)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_a_body_that_comes_in_pieces_is_read_whole(function: Function) -> None:
    address, body = httpx.URL(function.url), b'{"username": "nobody", "password": "at all"}'
    head = b"POST /user/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection((address.host, address.port or 80), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        for byte in body:
            connection.sendall(bytes([byte]))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_head_is_get_without_its_body(client: httpx.Client) -> None:
    head, get = client.head("/user/healthz"), client.get("/user/healthz")
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", get.headers["content-type"])


def test_answers_with_secrets_are_not_to_be_kept(client: httpx.Client) -> None:
    person = sign_up(client)
    assert attempt(client, person.username, PASSWORD).headers["cache-control"] == "no-store"


def test_no_password_and_no_token_is_logged(function: Function, client: httpx.Client) -> None:
    person = sign_up(client)
    tokens = person.login()
    attempt(client, person.username, "a wrong one, typed")
    refresh(client, tokens.refresh), refresh(client, tokens.refresh)
    client.post("/user/register", content=b'{"password": "broken secret', headers=JSON)
    log = function.log.read_text()
    assert person.user_id in log, "the log of this function, with ids"
    for secret in (PASSWORD, "a wrong one, typed", "broken secret", tokens.access, tokens.refresh.split(".")[-1]):
        assert secret not in log

"""JSON at its edges, at every door that takes it: frames of the socket, parameters of methods, bodies over HTTP.

What a door says is written down here, case by case. None of it is a 5xx, a traceback, or anybody else's trouble.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx
import pytest

from chattifier import keys
from chattifier.layout import Layout
from tests.gateway.client import session
from tests.gateway.people import Person, key, make_room, sign_up
from tests.gateway.test_frames import CLOSE, TEXT, frame, raw
from tests.running_stack import Stack

from .conftest import Noted

pytestmark = [pytest.mark.stack, pytest.mark.anyio, pytest.mark.usefixtures("unharmed")]
DEEP: Final = 10_000
NESTED: Final = b"[" * DEEP + b"]" * DEEP
LONG: Final = b"9" * 5000
"""Digits: more than Python turns into a number."""
CLOSED: Final = 3501
KEY: Final = "01890a5d-ac96-7cc6-8000-000000000000"

FRAMES: Mapping[str, tuple[bytes, int]] = {
    # what is sent, and the error of its reply, 0 for a result, or the code that the socket is closed with
    "nested 10,000 deep, alone": (NESTED, CLOSED),
    "objects 10,000 deep, alone": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, CLOSED),
    "nested 10,000 deep in what is ignored": (b'{"id":2,"ping":{},"x":' + NESTED + b"}", CLOSED),
    "nested 10,000 deep in parameters": (b'{"id":2,"rpc":{"method":"room.list","data":' + NESTED + b"}}", CLOSED),
    "opened 60,000 times, never closed": (b"[" * 60_000, CLOSED),
    "nested 100 deep in parameters": (
        b'{"id":2,"rpc":{"method":"room.list","data":' + b"[" * 100 + b"]" * 100 + b"}}",
        107,
    ),
    "NaN": (b'{"id":2,"rpc":{"method":"room.list","data":{"limit":NaN}}}', 107),
    "Infinity": (b'{"id":2,"rpc":{"method":"room.list","data":{"limit":Infinity}}}', 107),
    "NaN as id": (b'{"id":NaN,"ping":{}}', CLOSED),
    "1e400": (b'{"id":2,"rpc":{"method":"room.list","data":{"limit":1e400}}}', 107),
    "1e400 as id": (b'{"id":1e400,"ping":{}}', CLOSED),
    "2.0 as id": (b'{"id":2.0,"ping":{}}', CLOSED),
    "true as id": (b'{"id":true,"ping":{}}', CLOSED),
    "a text as id": (b'{"id":"2","ping":{}}', CLOSED),
    "2**32 as id": (b'{"id":4294967296,"ping":{}}', CLOSED),
    "2**32-1 as id": (b'{"id":4294967295,"ping":{}}', 0),
    "2**64 as id": (b'{"id":18446744073709551616,"ping":{}}', CLOSED),
    "5,000 digits as id": (b'{"id":' + LONG + b',"ping":{}}', CLOSED),
    "5,000 digits as parameter": (b'{"id":2,"rpc":{"method":"room.list","data":{"limit":' + LONG + b"}}}", CLOSED),
    "minus nothing as id": (b'{"id":-0,"send":{}}', 0),
    "the same field twice": (b'{"id":2,"ping":{},"ping":{}}', 0),
    "two ids": (b'{"id":2,"id":3,"ping":{}}', 0),
    "two requests in one": (b'{"id":2,"ping":{},"rpc":{"method":"no.such"}}', 104),
    "half an emoji": (b'{"id":2,"rpc":{"method":"user.find","data":{"username":"\\ud800"}}}', 107),
    "half an emoji as a name": (b'{"id":2,"\\udc00":{}}', 107),
    "half an emoji in raw bytes": (b'{"id":2,"x":"\xed\xa0\x80","ping":{}}', 107),
    "NUL in a text": (b'{"id":2,"rpc":{"method":"user.find","data":{"username":"a\\u0000b"}}}', 402),
    "NUL between the bytes": (b'{"id":2,\x00"ping":{}}', CLOSED),
    "a BOM before it": (b'\xef\xbb\xbf{"id":2,"ping":{}}', 107),
    "UTF-16": ('{"id":2,"ping":{}}'.encode("utf-16"), 107),
    "a comma too many": (b'{"id":2,"ping":{},}', CLOSED),
    "single quotes": (b"{'id':2,'ping':{}}", CLOSED),
    "a comment": (b'{"id":2,"ping":{}}//', CLOSED),
    "10,000 fields": (b'{"id":2,"ping":{%s}}' % b",".join(b'"%d":1' % one for one in range(6_000)), 0),
    "__proto__": (b'{"id":2,"ping":{},"__proto__":{"admin":true}}', 0),
}


@pytest.fixture(scope="module")
def person(stack: Stack) -> Person:
    """Who sends all this."""
    return sign_up(stack.auth)


async def test_a_frame_is_answered_or_closes_its_own_socket(stack: Stack, person: Person, noted: Noted) -> None:
    """And the ping behind it is answered, too, where the socket lives: nothing else was made of what was sent."""
    answers = {what: await _answer(stack, person, sent) for what, (sent, _) in FRAMES.items()}
    assert answers == {what: wanted for what, (_, wanted) in FRAMES.items()}
    for what, answer in answers.items():
        noted(what, answer or "answered")


async def _answer(stack: Stack, person: Person, sent: bytes) -> int:
    """Of the reply or the close, as in FRAMES."""
    async with raw(stack.gateways[0], person.token) as connection:
        await connection.send(frame(TEXT, sent), frame(TEXT, b'{"id":7,"ping":{}}'))
        replies: list[dict[str, Any]] = []
        while len(replies) < (1 if b'"send"' in sent else 2):
            opcode, payload = await connection.read()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")
            replies += [reply for reply in map(json.loads, payload.splitlines()) if reply and "push" not in reply]
        assert {"id": 7, "ping": {}} in replies
        return sum(int(reply.get("error", {}).get("code", 0)) for reply in replies)


async def test_an_id_that_is_used_again_is_a_command_of_its_own(stack: Stack, person: Person, noted: Noted) -> None:
    """Each has its answer; nothing of the first is cancelled, and no answer is given twice."""
    async with raw(stack.gateways[0], person.token) as connection:
        await connection.send(*[frame(TEXT, b'{"id":5,"rpc":{"method":"room.list","data":{"limit":1}}}')] * 20)
        await connection.send(frame(TEXT, b'{"id":6,"rpc":{"method":"no.such"}}'))
        replies = [await connection.reply() for _ in range(21)]
        assert sorted(reply["id"] for reply in replies) == [5] * 20 + [6]
        assert all("rpc" in reply for reply in replies if reply["id"] == 5)
    noted("one id for twenty commands", "twenty answers")


def _deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


PARAMETERS: Mapping[str, tuple[bytes, int]] = {
    "meta nested 10,000 deep": (b'"text":"x","meta":{"a":' + NESTED + b"}", CLOSED),
    **{f"meta nested {deep} deep": (b'"text":"x","meta":' + _deep(deep), 107) for deep in (33, 100, 190, 196, 198)},
    "meta nested 32 deep": (b'"text":"x","meta":' + _deep(32), 0),
    "meta with NaN": (b'"text":"x","meta":{"a":NaN}', 107),
    "meta with 1e400": (b'"text":"x","meta":{"a":1e400}', 107),
    "meta with 5,000 digits": (b'"text":"x","meta":{"a":' + LONG + b"}", CLOSED),
    "meta with 4,000 digits": (b'"text":"x","meta":{"a":' + LONG[:4000] + b"}", 0),
    "meta with 1e308": (b'"text":"x","meta":{"a":1e308,"b":-0.0,"c":1e-400}', 0),
    "meta with half an emoji": (b'"text":"x","meta":{"a":"\\ud800"}', 107),
    "meta with half an emoji as a name": (b'"text":"x","meta":{"\\ud800":1}', 107),
    "text with NUL": (b'"text":"a\\u0000b"', 0),
    "text of NUL": (b'"text":"\\u0000"', 0),
    "text with half an emoji": (b'"text":"\\udfff"', 107),
    "text that is a number": (b'"text":1', 107),
    "text of nothing": (b'"text":""', 107),
    "text twice": (b'"text":"one","text":"two"', 0),
    "text with every control character": (
        b'"text":"' + b"".join(b"\\u%04x" % code for code in range(1, 32)) + b'"',
        0,
    ),
    "text of right-to-left overrides": ('"text":"\u202e\u2066\u200f"'.encode(), 0),
    "reply to 2**53": (b'"text":"x","reply_to":9007199254740992', 107),
    "reply to 2**53-1": (b'"text":"x","reply_to":9007199254740991', 401),
    "reply to less than nothing": (b'"text":"x","reply_to":-1', 107),
    "reply to 1.0": (b'"text":"x","reply_to":1.0', 107),
    "mentions of 10,000": (b'"text":"x","mentions":[%s]' % b",".join([b'"%s"' % KEY.encode()] * 1500), 107),
    "mentions of CQL": (b'"text":"x","mentions":["\'; DROP TABLE messages; --"]', 107),
    "another's name as sender": (b'"text":"x","sender":"%s"' % KEY.encode(), 107),
    "an offset of one's own": (b'"text":"x","offset":1', 107),
}


async def test_parameters_are_refused_or_kept_as_they_are(stack: Stack, person: Person, noted: Noted) -> None:
    """What is refused leaves no message and no number behind; what was accepted, members read, now and on return."""
    other = await asyncio.to_thread(sign_up, stack.auth)
    async with session(stack.gateways[0], other.token) as (wire, _):
        room = await make_room(wire, person)
        answers = {what: await _send(stack, person, room, sent) for what, (sent, _) in PARAMETERS.items()}
        assert answers == {what: wanted for what, (_, wanted) in PARAMETERS.items()}
        kept = [answer for answer in answers.values() if answer == 0]
        await wire.heard(room, len(kept))
        page = await wire.rpc("message.list", {"room": room, "limit": 200})
        assert [message["seq"] for message in page["messages"]] == [*range(1, len(kept) + 1)]
        assert page["head"]["seq"] == len(kept)
    async with session(stack.gateways[0], other.token) as (_, welcome):
        assert f"room:{room}" in welcome["subs"]
    for what, answer in answers.items():
        noted(f"message.send, {what}", answer or "kept")


async def _send(stack: Stack, person: Person, room: str, sent: bytes) -> int:
    """A message with these parameters; the error, 0 for none, or the close."""
    data = b'"room":"%s","key":"%s",%s' % (room.encode(), key().encode(), sent)
    async with raw(stack.gateways[1], person.token) as connection:
        await connection.send(frame(TEXT, b'{"id":2,"rpc":{"method":"message.send","data":{%s}}}' % data))
        while True:
            opcode, payload = await connection.read()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")
            for reply in map(json.loads, payload.splitlines()):
                if reply.get("id") == 2:
                    return int(reply.get("error", {}).get("code", 0))


BODIES: Mapping[str, bytes] = {
    "nested 7,000 deep": b"[" * 7_000 + b"]" * 7_000,
    "objects 2,000 deep": b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    "opened 16,000 times": b"[" * 16_000,
    "deep in a field": b'{"username":%s,"password":"x"}' % (b"[" * 7_000 + b"]" * 7_000),
    "NaN": b'{"username":NaN,"password":"x"}',
    "NaN alone": b"NaN",
    "1e400": b'{"username":1e400,"password":"x"}',
    "5,000 digits": b'{"username":%s,"password":"x"}' % LONG,
    "half an emoji": b'{"username":"\\ud800","password":"x"}',
    "half an emoji as password": b'{"username":"nobody","password":"\\udfff\\ud800"}',
    "half an emoji in raw bytes": b'{"username":"\xed\xa0\x80","password":"x"}',
    "NUL in the name": b'{"username":"a\\u0000b","password":"x"}',
    "NUL in the password": b'{"username":"nobody","password":"a\\u0000b"}',
    "the name twice": b'{"username":"nobody","username":"nobody2","password":"x"}',
    "a field too many": b'{"username":"nobody","password":"x","admin":true}',
    "__proto__": b'{"username":"nobody","password":"x","__proto__":{}}',
    "a list": b'[{"username":"nobody","password":"x"}]',
    "UTF-16": '{"username":"nobody","password":"x"}'.encode("utf-16"),
    "a BOM before it": b'\xef\xbb\xbf{"username":"nobody","password":"x"}',
    "JSON lines": b'{"username":"nobody","password":"x"}\n{"username":"nobody","password":"x"}',
    "an operator for a name": b'{"username":{"$ne":null},"password":{"$ne":null}}',
}
CREDENTIALS: Final = {
    "half an emoji as password": {400, 422},
    "NUL in the name": {401},
    "NUL in the password": {401},
    "the name twice": {401},
}
"""What a sign-in is answered with that parses; all others are 400 or 422."""


@pytest.fixture(params=["auth", "edge"])
async def door(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """user-auth, and the edge before it."""
    place = getattr(stack, request.param)
    async with httpx.AsyncClient(base_url=place, timeout=30, trust_env=False) as client:
        yield client


async def test_a_body_of_user_auth_is_refused(door: httpx.AsyncClient, person: Person, noted: Noted) -> None:
    """400 for what is no JSON, 422 for what does not fit, 401 for what fits: at every endpoint that takes one."""
    plain = {"Content-Type": "application/json"}
    bearer = {"Authorization": f"Bearer {person.token}", **plain}
    for what, body in BODIES.items():
        answers = []
        for method, path, headers in (
            ("POST", "/user/login", plain),
            ("POST", "/user/refresh", plain),
            ("POST", "/user/password", bearer),
            ("PATCH", "/user/me", bearer),
            ("DELETE", "/user/me", bearer),
        ):
            answer = await door.request(method, path, content=body, headers=headers)
            wanted = CREDENTIALS.get(what, {400, 422}) if path == "/user/login" else {400, 422}
            assert answer.status_code in wanted, f"{what}, {path}: {answer.status_code} {answer.text[:200]}"
            assert answer.headers["content-type"] == "application/problem+json"
            assert "nobody" not in answer.text, "what was typed is not said again"
            answers.append(answer.status_code)
        noted(f"{what}, at five endpoints", "/".join(map(str, answers)))


CALLS: Mapping[str, tuple[bytes, int]] = {
    "nested 10,000 deep": (NESTED, 400),
    "deep in the parameters": (b'{"method":"room.list","data":{"a":%s}}' % NESTED, 400),
    "objects deep in the parameters": (
        b'{"method":"room.list","data":%s}' % (b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
        400,
    ),
    "100 deep in the parameters": (b'{"method":"room.list","data":{"a":%s}}' % (b"[" * 100 + b"]" * 100), 400),
    "NaN": (b'{"method":"room.list","data":{"limit":NaN}}', 400),
    "1e400": (b'{"method":"room.list","data":{"limit":1e400}}', 400),
    "5,000 digits": (b'{"method":"room.list","data":{"limit":%s}}' % LONG, 400),
    "half an emoji": (b'{"method":"user.find","data":{"username":"\\ud800"}}', 400),
    "half an emoji as method": (b'{"method":"\\ud800","data":{}}', 400),
    "half an emoji as a name": (b'{"method":"room.list","data":{"\\ud800":1}}', 400),
    "NUL in a name": (b'{"method":"user.find","data":{"username":"a\\u0000b"}}', 404),
    "NUL as method": (b'{"method":"\\u0000","data":{}}', 404),
    "the method twice": (b'{"method":"no.such","method":"room.list","data":{}}', 200),
    "two users": (b'{"method":"room.list","as":"%s","as":"x","data":{}}' % KEY.encode(), 400),
    "nobody as user": (b'{"method":"room.list","as":"%s","data":{}}' % str(uuid.uuid4()).encode(), 404),
    "UTF-16": ('{"method":"room.list"}'.encode("utf-16"), 400),
    "64 KiB and one byte": (b'{"method":"room.list","data":{}}' + b" " * 65_536, 413),
    "10 MB": (b" " * 10_000_000, 413),
}


@pytest.mark.parametrize("through", ["gateway", "edge"])
async def test_a_call_of_a_server_is_refused(stack: Stack, noted: Noted, through: str) -> None:
    """As a problem with the code of the socket's error. Who signs well is no less suspect."""
    gateway = stack.gateways[0].replace("ws://", "http://").removesuffix("/connection/websocket")
    token = keys.service_token(Layout(stack.data).service_keys, "tests", 600)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    base = gateway if through == "gateway" else stack.edge
    for what, (sent, wanted) in CALLS.items():
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30, trust_env=False) as http:
            try:
                answer = await http.post("/api/rpc", content=sent)
            except (httpx.WriteError, httpx.ReadError):
                assert wanted == 413, f"{what}: cut while it was still being sent"
            else:
                assert answer.status_code == wanted, f"{what}: {answer.status_code} {answer.text[:300]}"
                assert wanted == 200 or answer.headers["content-type"] == "application/problem+json"
        noted(f"{what}, by a server", wanted)

"""All my data, as JSON lines."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from chat_functions.tables import BUCKET as BUCKET_OF_THE_TABLE
from tests.gateway.client import session
from tests.gateway.people import key
from tests.patient import Patient
from tests.running_stack import Stack
from user_auth.rooms import BUCKET

from .conftest import Start
from .function import Function
from .people import Tokens, change_profile, code, sign_up

if TYPE_CHECKING:
    from cassandra.cluster import Session

pytestmark = pytest.mark.stack

Line = dict[str, Any]


def lines(body: str) -> list[Line]:
    """The lines of an export; the last one ends, too."""
    assert body.endswith("\n")
    return [json.loads(line) for line in body.splitlines()]


def of(kind: str, export: list[Line]) -> list[Line]:
    """The lines of a kind."""
    return [line for line in export if line["type"] == kind]


def export(client: httpx.Client, tokens: Tokens) -> list[Line]:
    """An export, which must be whole."""
    answer = client.get("/user/me/export", headers=tokens.headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    found = lines(answer.text)
    assert (found[0]["type"], found[-1]["type"]) == ("begin", "end")
    assert found[-1] == {"type": "end", "rooms": len(of("room", found)), "messages": len(of("message", found))}
    return found


class Archive:
    """Rows as message-store writes them, without waiting for it."""

    def __init__(self, cassandra: Session) -> None:
        self._cassandra = cassandra
        self._insert = cassandra.prepare(
            "INSERT INTO messages (room_id, bucket, seq, offset, sender, key, text, time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        )

    def room(self, user: UUID, head: int) -> UUID:
        """A room that the user is in."""
        room = uuid4()
        for cql, values in (
            ("rooms_by_id (room_id, kind, name) VALUES (%s, 'group', 'old')", [room]),
            ("room_heads (room_id, offset, seq, epoch) VALUES (%s, %s, %s, 1)", [room, head + 1, head]),
            ("members_by_room (room_id, user_id, role, joined_at) VALUES (%s, %s, 'owner', 7)", [room, user]),
            ("rooms_by_user (room_id, user_id, role) VALUES (%s, %s, 'owner')", [room, user]),
        ):
            self._cassandra.execute(f"INSERT INTO {cql} USING TIMESTAMP 1", values)
        return room

    def say(self, room: UUID, user: UUID, texts: Mapping[int, str]) -> None:
        """Messages, by seq."""
        waiting = [
            self._cassandra.execute_async(
                self._insert, [room, seq // BUCKET, seq, seq + 1, user, uuid4(), text, 1000 + seq, seq + 1]
            )
            for seq, text in texts.items()
        ]
        for one in waiting:
            one.result()


@pytest.fixture(scope="module")
def archive(cassandra: Session) -> Archive:
    """Writes rows."""
    return Archive(cassandra)


@pytest.fixture(scope="module")
def prolific(function: Function, archive: Archive) -> Tokens:
    """Somebody with eight megabytes to export: more than the sockets between us and the function hold."""
    with function.client() as client:
        tokens = sign_up(client).login()
    user = UUID(tokens.claims["sub"])
    archive.say(archive.room(user, head=800), user, dict.fromkeys(range(1, 801), "x" * 10_000))
    return tokens


@pytest.mark.anyio
async def test_it_holds_profile_sessions_rooms_and_my_messages(stack: Stack) -> None:
    """Said through a gateway and stored, as it was edited; nothing of what was deleted, or of what others said."""
    with httpx.Client(base_url=stack.auth, transport=Patient(), timeout=30) as client:
        ada, grace = sign_up(client), sign_up(client)
        tokens, other = ada.login(device="phone"), grace.login()
        change_profile(client, tokens, display_name="Ada").raise_for_status()
        async with (
            session(stack.gateways[0], tokens.access) as (mine, _),
            session(stack.gateways[1], other.access) as (hers, _),
        ):
            made = await mine.rpc(
                "room.create", {"key": key(), "kind": "group", "name": "tests", "members": [grace.user_id]}
            )
            room = made["room"]
            said = {"room": room, "key": key(), "text": "mine", "mentions": [grace.user_id], "meta": {"a": [None, 1]}}
            first = await mine.rpc("message.send", said)
            await hers.rpc("message.send", {"room": room, "key": key(), "text": "hers"})
            gone = await mine.rpc("message.send", {"room": room, "key": key(), "text": "not to be kept"})
            last = await mine.rpc("message.send", {"room": room, "key": key(), "text": "agian", "reply_to": 2})
            await mine.rpc("message.delete", {"room": room, "key": key(), "seq": gone["seq"]})
            edit = {"room": room, "key": key(), "seq": last["seq"], "text": "again"}
            edited = await mine.rpc("message.edit", edit)
        found = _once_stored(client, tokens, ["mine", "again"])
    profile, (one,), (place,) = of("profile", found)[0], of("session", found), of("room", found)
    assert (profile["user_id"], profile["username"], profile["display_name"]) == (ada.user_id, ada.username, "Ada")
    assert (one["session_id"], one["device"]) == (tokens.claims["sid"], "phone")
    assert (place["room"], place["kind"], place["name"], place["role"]) == (room, "group", "tests", "owner")
    assert of("message", found) == [
        {
            "type": "message", "room": room, "seq": first["seq"], "time": first["time"], "text": "mine",
            "mentions": [grace.user_id], "meta": {"a": [None, 1]},
        },
        {
            "type": "message", "room": room, "seq": last["seq"], "time": last["time"], "text": "again",
            "edited_at": edited["time"], "reply_to": 2,
        },
    ]  # fmt: skip
    assert "refresh_hash" not in json.dumps(found) and "password" not in json.dumps(found)


def _once_stored(client: httpx.Client, tokens: Tokens, texts: list[str]) -> list[Line]:
    deadline = time.monotonic() + 20
    while True:
        found = export(client, tokens)
        if [line["text"] for line in of("message", found)] == texts:
            return found
        assert time.monotonic() < deadline, f"not stored within twenty seconds: {found}"
        time.sleep(0.1)


def test_it_goes_through_all_partitions_of_a_room_in_order_and_leaves_out_what_was_deleted(
    client: httpx.Client, archive: Archive, cassandra: Session
) -> None:
    tokens = sign_up(client).login()
    user = UUID(tokens.claims["sub"])
    room = archive.room(user, head=2 * BUCKET + 300)
    seqs = [1, 2, BUCKET - 1, BUCKET, *range(2 * BUCKET, 2 * BUCKET + 300)]
    archive.say(room, user, {seq: f"m{seq}" for seq in seqs})
    archive.say(room, uuid4(), {3: "somebody else's", 2 * BUCKET - 1: "somebody else's"})
    cql = "UPDATE messages USING TIMESTAMP 99999 SET deleted = true WHERE room_id = %s AND bucket = 0 AND seq = 2"
    cassandra.execute(cql, [room])
    seqs.remove(2)
    assert [(line["seq"], line["text"]) for line in of("message", export(client, tokens))] == [
        (seq, f"m{seq}") for seq in seqs
    ]


def test_a_room_that_was_left_is_not_in_it(client: httpx.Client, archive: Archive, cassandra: Session) -> None:
    """However far its removal has come: without the membership, or without the row in the inbox."""
    tokens = sign_up(client).login()
    user = UUID(tokens.claims["sub"])
    left, leaving, here = (archive.room(user, head=0) for _ in range(3))
    cassandra.execute("DELETE FROM rooms_by_user USING TIMESTAMP 2 WHERE user_id = %s AND room_id = %s", [user, left])
    cassandra.execute(
        "DELETE FROM members_by_room USING TIMESTAMP 2 WHERE room_id = %s AND user_id = %s", [leaving, user]
    )
    assert [line["room"] for line in of("room", export(client, tokens))] == [str(here)]


def test_the_partitions_are_those_of_the_table() -> None:
    assert BUCKET == BUCKET_OF_THE_TABLE


def test_it_is_sent_while_it_is_read(client: httpx.Client, prolific: Tokens) -> None:
    """In whole lines, some 32 KiB at a time."""
    with client.stream("GET", "/user/me/export", headers=prolific.headers) as answer:
        assert "content-length" not in answer.headers
        first = next(answer.iter_bytes())
    assert first.startswith(b'{"type":"begin"') and len(first) < 100_000


def test_head_makes_none(client: httpx.Client, prolific: Tokens) -> None:
    for _ in range(3):
        answer = client.head("/user/me/export", headers=prolific.headers)
        assert (answer.status_code, answer.content) == (200, b"")


def test_readers_who_do_not_read_leave_threads_for_others_and_are_given_up(
    function: Function, prolific: Tokens
) -> None:
    """Two at a time; a third is told to come again, and can when the two are gone. Everything else goes on."""
    with _silent_reader(function, prolific), _silent_reader(function, prolific), function.client() as client:
        answer = client.get("/user/me/export", headers=prolific.headers)
        assert code(answer) == (503, "temporarily_unavailable")
        assert answer.headers["retry-after"]
        assert client.get("/user/me", headers=prolific.headers).status_code == 200
        deadline = time.monotonic() + 60
        while not _admits(function, prolific):
            assert time.monotonic() < deadline, "not given up within a minute"
            time.sleep(0.5)


def _admits(function: Function, tokens: Tokens) -> bool:
    """On a connection of its own: one that rests for seconds is closed."""
    with function.client() as client:
        return client.head("/user/me/export", headers=tokens.headers).status_code == 200


def _silent_reader(function: Function, tokens: Tokens) -> socket.socket:
    """Has read the first bytes of an export, and reads no more."""
    address = httpx.URL(function.url)
    reader = socket.create_connection((address.host, address.port or 80), timeout=30)
    reader.sendall(f"GET /user/me/export HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tokens.access}\r\n\r\n".encode())
    assert reader.recv(16).startswith(b"HTTP/1.1 200")
    return reader


def test_one_that_cannot_be_finished_breaks_off_and_nobody_can_take_it_for_all(
    function: Function, client: httpx.Client, archive: Archive, cassandra: Session
) -> None:
    """A row that is not as it should be stands for whatever may fail in the middle."""
    tokens = sign_up(client).login()
    user = UUID(tokens.claims["sub"])
    room = archive.room(user, head=30)
    archive.say(room, user, dict.fromkeys(range(1, 30), "a text to be kept secret" * 100))
    cql = "UPDATE messages USING TIMESTAMP 9 SET meta = 'not json' WHERE room_id = %s AND bucket = 0 AND seq = 29"
    cassandra.execute(cql, [room])
    body = b""
    with (
        pytest.raises(httpx.RemoteProtocolError),
        client.stream("GET", "/user/me/export", headers=tokens.headers) as answer,
    ):
        for piece in answer.iter_bytes():
            body += piece
    assert body and b'"end"' not in body
    log = function.log.read_text()
    assert "stream_broken" in log
    assert "not json" not in log and "secret" not in log


def test_it_is_limited(start: Start) -> None:
    with start({"CHATTIFIER_AUTH_LIMITS": "export-account=2/60"}).client() as limited:
        tokens, other = sign_up(limited).login(), sign_up(limited).login()
        assert [len(of("end", export(limited, tokens))) for _ in range(2)] == [1, 1]
        assert code(limited.get("/user/me/export", headers=tokens.headers)) == (429, "too_many_requests")
        assert export(limited, other)

"""After all other tests: what their whole run has left in logs. Nothing that anybody would keep secret, and our own
lines are JSON with the name of an event.

Looked for are what tokens look like, the passwords of the tests, whatever has the canary in it, and every text that
Cassandra holds of messages: so a test need not do anything for it to cover what it has said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cassandra.cluster import Cluster

from chattifier.layout import Layout
from tests.auth import people
from tests.canary import CANARY, SHORT, fresh_password
from tests.patient import Patient
from tests.running_stack import Stack
from tests.terminal import terminal
from tests.web import visitor
from user_auth import passwords

pytestmark = pytest.mark.reads_logs

SECRETS = {
    "a token or a key (JSON in base64)": rb"eyJ[A-Za-z0-9_-]{20,}",
    "a refresh token": rb"\b[0-9a-f]{32}\.[0-9a-f]{32}\.[A-Za-z0-9_-]{20,}",
    "a hash of a password": rb"\$argon2",
    "a private key": rb"PRIVATE KEY-----",
    "the canary": re.escape(CANARY.encode()),
    "a password of the tests": b"|".join(
        re.escape(password.encode()) for password in (people.PASSWORD, terminal.PASSWORD, visitor.PASSWORD)
    ),
}
OURS = re.compile(rb"^\[[^]]*\] \[[A-Z]+\] (?:%s):" % b"|".join(
    re.escape(path.name.encode())
    for path in (Path(__file__).parents[2] / "pulsar-functions" / "chat_functions").rglob("*.py")
))  # fmt: skip
"""A line of ours as Pulsar's instance would write it."""


@pytest.fixture(scope="module")
def logs(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All log files of the stack, and of what tests have started besides."""
    run = tmp_path_factory.getbasetemp()
    folders = [Layout(stack.data).logs, *run.rglob("logs")]
    files = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    files |= {path for name in ("log", "up.log") for path in run.rglob(name) if path.is_file()}
    return sorted(files)


def _texts(stack: Stack) -> set[bytes]:
    place = stack.cassandra
    cluster = Cluster([place.host], port=place.port)
    try:
        rows = cluster.connect(place.keyspace).execute("SELECT text FROM messages")
        texts = {row.text for row in rows if row.text}
    finally:
        cluster.shutdown()
    return {text.encode() for text in texts if len(text) >= SHORT and CANARY not in text}


def _lines(content: bytes, places: Iterator[int]) -> list[int]:
    return sorted({content.count(b"\n", 0, place) + 1 for place in places})


def test_the_logs_are_there(stack: Stack, logs: list[Path]) -> None:
    layout = Layout(stack.data)
    ours = ("auth", "gateway-1", "gateway-2", "edge", "pulsar", "cassandra", "redis")
    assert {layout.log(part) for part in ours} <= set(logs)
    assert layout.function_log("chat-router", 0) in logs


def test_what_is_looked_for_would_be_found(stack: Stack) -> None:
    """Real tokens, keys and passwords of this stack are seen, in the middle of a line."""
    with httpx.Client(base_url=stack.auth, transport=Patient(), timeout=30) as client:
        tokens = people.sign_up(client).login()
    key = next(Layout(stack.data).signing_keys.glob("*.pem")).read_text().splitlines()[0]
    real = (
        tokens.access,
        tokens.refresh,
        passwords.make_hash(fresh_password()),
        key,
        fresh_password(),
        people.PASSWORD,
    )
    for secret, pattern in zip(real, SECRETS.values(), strict=True):
        assert re.search(pattern, f'{{"event": "oh", "error": "{secret}"}}'.encode())


@pytest.mark.parametrize("what", SECRETS)
def test_no_log_has(logs: list[Path], what: str) -> None:
    pattern = re.compile(SECRETS[what])
    found = {}
    for path in logs:
        content = path.read_bytes()
        if lines := _lines(content, (hit.start() for hit in pattern.finditer(content))):
            found[str(path)] = lines[:10]
    assert not found, f"{what} is in these lines"


@pytest.mark.timeout(600)
def test_no_log_has_the_text_of_a_message(stack: Stack, logs: list[Path]) -> None:
    texts = _texts(stack)
    found = {}
    for path in logs:
        content = path.read_bytes()
        if hits := [place for text in texts if (place := content.find(text)) >= 0]:
            found[str(path)] = _lines(content, iter(hits))[:10]
    assert not found, "texts of messages are in these lines"


@pytest.mark.parametrize("part", ["gateway-1", "gateway-2", "auth", "edge"])
def test_every_line_of_ours_is_json_with_the_name_of_an_event(stack: Stack, part: str) -> None:
    for number, line in enumerate(Layout(stack.data).log(part).read_text().splitlines(), 1):
        assert _is_event(line), f"line {number} of {part} is not an event"


def test_every_line_of_a_function_is_json_with_the_name_of_an_event(stack: Stack) -> None:
    """Pulsar's own are beside them, in its own words."""
    events = 0
    for path in (Layout(stack.data).logs / "functions").rglob("*.log"):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            assert not OURS.match(line), f"line {number} of {path} is not an event"
            if line.startswith(b"{"):
                events += 1
                assert _is_event(line.decode()), f"line {number} of {path} is not an event"
    assert events


def _is_event(line: str) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return False
    return isinstance(event, dict) and isinstance(event.get("event"), str)

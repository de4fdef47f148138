"""What the parts show of themselves, after traffic of every kind on the real stack."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import yaml

from chattifier import metrics_page
from pulsar_data import commands, queries, rpc
from pulsar_data.errors import Disconnect, ErrorCode
from pulsar_data.topics import FUNCTIONS
from socket_gateway.metrics import CLIENT
from tests.canary import CANARY
from tests.clients.chat_client import ChatClient
from tests.clients.people import sign_up
from tests.clients.socket import ErrorReply
from tests.clients.talkers import connected, fresh_key, make_room
from tests.clients.waiting import until
from tests.faults.functions import Functions
from tests.metrics.promql import Selector, grouped_by, selectors
from tests.metrics.scrape import OURS, Sample, http, scrape, total
from tests.running_stack import Stack
from user_auth import app
from user_auth.errors import Code
from user_auth.settings import DEFAULT_LIMITS, Settings

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "k8s" / "monitoring"
WITHIN = 30.0
POD = {"pod"}
"""What Prometheus adds where it scrapes."""

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The clients are asyncio's."""
    return "asyncio"


@pytest.fixture(scope="module")
async def moved(stack: Stack, anyio_backend: str) -> tuple[list[Sample], list[Sample]]:
    """Before and after: people sign up and one types a wrong password, they talk, one asks for what it may not."""
    functions = Functions(stack)
    await functions.until_measured()
    await functions.close()
    before = scrape(stack)
    ada, bob, eve = await sign_up(stack.auth, 3)
    async with httpx.AsyncClient(base_url=stack.auth, timeout=30, trust_env=False) as client:
        await client.post("/user/login", json={"username": "nobody-is-called-so", "password": "a wrong password"})
    first, second = stack.gateways[0], stack.gateways[-1]
    async with connected((ada, first), (bob, second), (eve, second)) as (one, other, stranger):
        room = await make_room([one, other], bob)
        for number in range(5):
            await one.send(room, f"message {number} {CANARY}")
        await until("five messages", lambda: _has(other, room), within=WITHIN)
        with pytest.raises(ErrorReply):
            await stranger.rpc("message.send", {"room": room, "key": fresh_key(), "text": "let me in"})
        await _ask(other, room)
    await until("five stored messages", lambda: _stored(stack, before), within=WITHIN)
    return before, scrape(stack)


async def _ask(client: ChatClient, room: str) -> None:
    await client.rpc("message.list", {"room": room, "limit": 10})
    await client.rpc("message.read", {"room": room, "seq": 3})


async def _has(client: ChatClient, room: str) -> bool:
    return client.feeds[room].seq >= 5


async def _stored(stack: Stack, before: list[Sample]) -> bool:
    name = "chattifier_function_acks_total"
    after = await asyncio.to_thread(scrape, stack)
    return total(after, name, function="message-store") - total(before, name, function="message-store") >= 6


MOVES: list[tuple[str, dict[str, str], float]] = [
    ("chattifier_gateway_connects_total", {"outcome": "ok"}, 3),
    ("chattifier_gateway_connections_closed_total", {"code": CLIENT}, 3),
    ("chattifier_gateway_commands_total", {"method": "message.send", "outcome": "ok"}, 5),
    ("chattifier_gateway_commands_total", {"method": "message.send", "outcome": "not_a_member"}, 1),
    ("chattifier_gateway_commands_total", {"method": "message.list", "outcome": "ok"}, 1),
    ("chattifier_gateway_answer_seconds_count", {"kind": "command"}, 7),
    ("chattifier_gateway_answer_seconds_count", {"kind": "query"}, 1),
    ("chattifier_gateway_answer_seconds_count", {"kind": "opening"}, 3),
    ("chattifier_gateway_push_delay_seconds_count", {}, 10),  # five messages, two members
    ("chattifier_function_commands_total", {"command": "send_message", "outcome": "ok"}, 5),
    ("chattifier_function_commands_total", {"command": "send_message", "outcome": "not_a_member"}, 1),
    ("chattifier_function_commands_total", {"command": "mark_read", "outcome": "ok"}, 1),
    ("chattifier_function_batch_size_sum", {"function": "chat-router"}, 8),
    ("chattifier_function_acks_total", {"function": "chat-router"}, 8),
    ("chattifier_function_acks_total", {"function": "message-store"}, 5),
    ("chattifier_function_acks_total", {"function": "archive"}, 4),
    ("chattifier_function_stage_seconds_count", {"stage": "publish"}, 1),
    ("chattifier_function_stage_seconds_count", {"stage": "commit"}, 1),
    ("chattifier_function_call_seconds_count", {"function": "chat-router", "to": "redis"}, 2),
    ("chattifier_function_call_seconds_count", {"function": "message-store", "to": "cassandra"}, 1),
    ("chattifier_function_queries_total", {"query": "open_session", "outcome": "ok"}, 3),
    ("chattifier_function_query_seconds_count", {"query": "list_messages"}, 1),
    ("chattifier_function_rebuild_seconds_count", {}, 1),  # the new room
    ("chattifier_auth_requests_total", {"endpoint": "register", "outcome": "ok"}, 3),
    ("chattifier_auth_requests_total", {"endpoint": "login", "outcome": "ok"}, 3),
    ("chattifier_auth_requests_total", {"endpoint": "login", "outcome": "bad_credentials"}, 1),
    ("chattifier_auth_request_seconds_count", {"endpoint": "login"}, 4),
    ("chattifier_auth_password_hash_seconds_count", {}, 7),
]


@pytest.mark.parametrize(("name", "labels", "least"), MOVES, ids=str)
def test_traffic_moves_what_counts_it(
    moved: tuple[list[Sample], list[Sample]], name: str, labels: dict[str, str], least: float
) -> None:
    before, after = moved
    assert total(after, name, **labels) - total(before, name, **labels) >= least


def test_states_are_shown(moved: tuple[list[Sample], list[Sample]]) -> None:
    _, after = moved
    assert total(after, "chattifier_gateway_healthy", part="redis") == len(
        {s.part for s in after if "gateway" in s.part}
    )
    assert 0 < total(after, "chattifier_auth_start_seconds") < 300
    assert {s.labels["function"] for s in after if s.name == "chattifier_function_in_flight"} >= {
        "chat-router", "message-store", "archive",
    }  # fmt: skip


def _allowed() -> set[str]:
    words = {"ok", "duplicate", "expired", "recovered", "from_log", "unrecovered", "unknown", "typing", CLIENT}
    words |= {"pulsar", "redis", "cassandra", "accepting", "command", "query", "opening"}
    words |= {"number", "publish", "commit", "deliver"} | set(FUNCTIONS)
    words |= (
        {code.message for code in ErrorCode} | {code.code for code in Code} | set(DEFAULT_LIMITS) | set(rpc.METHODS)
    )
    words |= {str(one.code) for one in Disconnect} | {one.name.lower() for one in Disconnect}
    words |= {str(status) for status in range(100, 600)} | {str(instance) for instance in range(10)}
    words |= {endpoint.name for endpoint in app.router(Settings()).endpoints}
    words |= {"send", "subscribe", "unsubscribe", "history", "presence", "presence_stats", "refresh", "ping"}
    for union in (commands.Command, queries.Query):
        words |= {member.model_fields["type"].default for member in _members(union)}
    return words


def _members(union: Any) -> Iterator[Any]:
    return (member for member in get_args(getattr(union, "__value__", union)) if hasattr(member, "model_fields"))


def test_every_label_has_one_of_the_values_that_the_code_knows(moved: tuple[list[Sample], list[Sample]]) -> None:
    """Above all no id of anybody or anything: `instance_id` is how many instances there are."""
    allowed = _allowed()
    strange = {
        (sample.name, label, value)
        for sample in moved[1]
        if sample.name.startswith(OURS)
        for label, value in sample.labels.items()
        if label != "le" and value not in allowed
    }
    assert not strange


def _described() -> list[metrics_page.Described]:
    return [*metrics_page.of_gateways(), *metrics_page.of_functions(), *metrics_page.of_auth()]


def test_names_follow_the_conventions() -> None:
    described = _described()
    assert len({metric.name for metric in described}) == len(described) > 30
    for metric in described:
        assert re.fullmatch(r"chattifier_(gateway|function|auth)_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not re.search(r"_(ms|milliseconds|minutes|count|sum|bucket)$", metric.name), metric.name
        assert metric.says.endswith("."), metric.name


def test_what_is_shown_is_what_is_described(moved: tuple[list[Sample], list[Sample]]) -> None:
    shown = {re.sub(r"_(bucket|sum|count)$", "", sample.name) for sample in moved[1] if sample.name.startswith(OURS)}
    assert shown <= {metric.name for metric in _described()}


def test_the_page_is_current() -> None:
    """If not: `.venv/bin/python -m chattifier.metrics_page`."""
    text = metrics_page.PAGE.read_text()
    assert metrics_page.current(text) == text


# Dashboard and alerts


def _expressions() -> list[tuple[str, str]]:
    board = json.loads((MONITORING / "dashboard.json").read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    found = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]["groups"]
    return found + [(rule["alert"], rule["expr"]) for group in rules for rule in group["rules"]]


EXPRESSIONS = [
    pytest.param(expression, id=f"{title}-{number}") for number, (title, expression) in enumerate(_expressions())
]
RARE = {
    "chattifier_gateway_server_calls_total", "chattifier_function_recoveries_total", "chattifier_auth_limited_total",
}  # fmt: skip
"""Shown from the first time on that it happens, which the traffic here does not make happen."""


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_everything_that_is_asked_for_is_exported(moved: tuple[list[Sample], list[Sample]], expression: str) -> None:
    """Every name, and every label by which it is chosen or grouped, is in a scrape of the running stack."""
    asked = list(selectors(expression))
    assert asked
    described = {metric.name: set(metric.labels) for metric in _described()}
    for selector in asked:
        there = [sample for sample in moved[1] if sample.name == selector.name]
        if selector.name in RARE:
            labels = described[selector.name] | {"function", "instance_id"}
        else:
            assert there, f"{selector.name} is not exported"
            labels = set().union(*(sample.labels for sample in there))
        assert {label for label, _, _ in selector.conditions} <= labels | POD
        assert grouped_by(expression) <= labels | POD


def test_values_that_expressions_choose_by_exist() -> None:
    allowed = _allowed() | {"chat/core"}
    chosen = [part for _, text in _expressions() for one in selectors(text) for part in _values(one)]
    assert chosen
    assert [value for value in chosen if value not in allowed] == []


def _values(selector: Selector) -> Iterator[str]:
    for _, _, value in selector.conditions:
        yield from value.split("|")


def test_panels_are_whole_and_do_not_overlap() -> None:
    board = json.loads((MONITORING / "dashboard.json").read_text())
    places: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        grid = panel["gridPos"]
        own = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        assert not own & places, panel["title"]
        assert grid["x"] + grid["w"] <= 24
        places |= own
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource"]


# Who may look


@pytest.mark.parametrize(
    "path", ["/metrics", "/api/../metrics", "/user/../metrics", "/connection/../metrics", "//metrics"]
)
def test_the_edge_leads_to_no_metrics(stack: Stack, path: str) -> None:
    with httpx.Client(trust_env=False, timeout=30) as client:
        answer = client.request("GET", httpx.URL(stack.edge).copy_with(raw_path=path.encode()))
    assert answer.status_code == 404
    assert OURS not in answer.text


def test_a_gateway_shows_them_at_its_own_port(stack: Stack) -> None:
    answer = httpx.get(http(stack.gateways[0]), trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain; version=")

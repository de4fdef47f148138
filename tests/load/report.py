"""docs/performance.md: one section per measurement, each replaced as a whole when it is taken again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.load.drain import Drains, median_cost, median_rate
from tests.load.idle import Idle
from tests.load.machine import Machine
from tests.load.reconnect import MEMBERS, Reconnect
from tests.load.start import Start
from tests.load.talk import Talk
from tests.load.talkers import percentile

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
INTRO = """\
# Performance

Written by `python -m tests.load`: run it again and the sections that it takes are replaced. Everything runs on one
machine, the clients too, so these are not the limits of a cluster; ratios and CPU times are worth more than
milliseconds. Nothing is simulated: Pulsar with its Functions worker (receipts mean *on disk*), Cassandra, Redis,
two gateways, sockets.
"""
ORDER = ("start", "talk", "reconnect", "idle", "drain")
_BARS = 12
_HOW_DRAIN = """\
How: all instances are stopped, search-index for the whole time, the commands are published (KeyBased batches,
fresh keys), one instance is started. *chat-router* (checks, numbers, publishes, commits, replies): from the first
to the last event by the publish times in `events`, the first batch not counted. *message-store*: from the first
to the last rise of the rooms' heads in Cassandra, on the events that the router has just left. *pass-through*: a
function that parses each of the same commands, serialises it again and publishes it, at least once; by publish
times as well. The start of a process is in none of them. The cold round is the first one, in which the JVMs of a
stack that has just started still compile; it is not counted. CPU is that of the function's process."""
_HOW_TALK = """\
How: a timetable says when each message is due, and every time counts from there, so what waits behind a stall
counts as late as well (no coordinated omission). Members sit on the two gateways in turn; a message is on its
way until its bytes reach the process of the clients. A delivery has passed three durable hops (`commands`,
`events`, the gateway's topic), each on disk before the next. The first 30 s are not timed, but counted:
the JVMs of a fresh stack compile then. All of it, the clients too, shares the cores: near their limit every stage
waits for its turn, as the second rate shows.
People are rows and tokens signed with the stack's key, not sign-ups."""
_HOW_IDLE = """\
How: people with a session each (rows and tokens signed with the stack's key, not sign-ups), each a member of
one room of 20, connect to one gateway and follow their rooms; at each step the resident memory of the gateway's
process is read. Least squares. What the kernel holds for a socket is not in it."""

_HOW_RECONNECT = """\
How: everybody sits on one gateway, which gets SIGKILL; its supervisor starts it again. Each client sees its
connection end, waits as the SDKs do (a quarter of a second, and full jitter that doubles from 0.5 s to 20 s), and
connects with its position to any of the gateways, at random. *Recovered* is who gets `recovered: true`, *whole* who
then has the message that was said meanwhile, once and in order. Times count from the end of the connection, to the
answer to `connect`. Reads are those that Cassandra itself counted meanwhile, whoever asked."""


def write(name: str, body: str, page: Path = PAGE) -> None:
    """Put a section in its place; the others stay."""
    sections = _sections(page.read_text()) if page.exists() else {}
    sections[name] = body.strip()
    parts = [f"<!-- {key} -->\n{sections[key]}\n<!-- end of {key} -->" for key in ORDER if key in sections]
    page.write_text("\n\n".join([INTRO.rstrip(), *parts]) + "\n")


def _sections(text: str) -> dict[str, str]:
    found = re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- end of \1 -->", text, re.DOTALL)
    return dict(found)


def drain(drains: Drains, machine: Machine, versions: str) -> str:
    """The section of the backlog drains."""
    rows = {
        "chat-router": (drains.router, "≥ 3,000"),
        "message-store": (drains.store, "≥ 5,000"),
        "pass-through": (drains.pass_through, ""),
    }
    table = [
        f"| {name} | {median_rate(some):,.0f} | {_each([one.rate for one in some])} | {aim}"
        f" | {drains.cold[name].rate:,.0f} | {median_cost(some):.0f} |"
        for name, (some, aim) in rows.items()
    ]
    return "\n".join(
        [
            "## A backlog, worked off by one instance",
            "",
            f"{drains.commands:,} messages over 50 rooms of 20, {len(drains.router)} rounds of all three in turn.",
            "",
            "| function | median, messages/s | rounds | aim | cold round | CPU µs per message |",
            "|---|---:|---|---|---:|---:|",
            *table,
            "",
            f"**chat-router : pass-through = {drains.ratio:.2f}** (median of the rounds' ratios; aim ≥ 0.5).",
            "",
            _HOW_DRAIN,
            "",
            _taken(machine, versions),
        ]
    )


def talk(talks: Sequence[Talk], machine: Machine, versions: str) -> str:
    """The section of the talks over sockets."""
    parts = [part for measured in talks for part in _talk(measured)]
    return "\n".join(["## From one person to all others", "", *parts, _HOW_TALK, "", _taken(machine, versions)])


def _talk(measured: Talk) -> list[str]:
    plan, heard = measured.plan, measured.heard
    lines = {
        "due → delivered to a member": heard.deliveries,
        "due → acknowledged to the sender": heard.acks,
        "of that: the client's own lateness": heard.late,
    }
    table = [
        f"| {name} | {' | '.join(f'{percentile(values, share):.1f}' for share in (0.5, 0.9, 0.99, 1.0))} |"
        for name, values in lines.items()
    ]
    return [
        f"**{plan.rate:.0f} messages a second** for {plan.seconds:.0f} s, {len(plan.rooms)} rooms of"
        f" {len(plan.seats[0])}, {sum(map(len, plan.seats))} sockets over {measured.gateways} gateways.",
        "",
        "| sent | acknowledged | stored rows | delivered | expected | twice |",
        "|---:|---:|---:|---:|---:|---:|",
        f"| {heard.sent:,} | {heard.acked:,} | {measured.stored:,} | {heard.delivered:,} | {plan.expected:,}"
        f" | {heard.twice} |",
        "",
        "| milliseconds | p50 | p90 | p99 | worst |",
        "|---|---:|---:|---:|---:|",
        *table,
        "",
        *_histogram(heard.deliveries),
        "",
        f"| part | CPU s in {heard.wall:.0f} s | % of a core | µs per message |",
        "|---|---:|---:|---:|",
        *_cpu_rows(measured),
        "",
    ]


def reconnect(measured: Reconnect, machine: Machine, versions: str) -> str:
    """The section of the killed gateway."""
    back = measured.back
    shares = " | ".join(f"{percentile(back.seconds, share):.1f}" for share in (0.5, 0.9, 0.99, 1.0))
    asked = {table: count for table, count in measured.reads.items() if count}
    listed = ", ".join(f"`{table}` {count:,}" for table, count in asked.items()) or "none"
    return "\n".join(
        [
            "## A gateway dies, and all its clients come back",
            "",
            f"{measured.clients:,} clients in rooms of {MEMBERS}: all back, recovered, after"
            f" **{max(back.seconds):.1f} s** (aim: ≤ 15).",
            "",
            "| clients | recovered | whole | attempts |",
            "|---:|---:|---:|---:|",
            f"| {measured.clients:,} | {back.recovered:,} | {back.whole:,} | {back.attempts:,} |",
            "",
            "| seconds | p50 | p90 | p99 | last |",
            "|---|---:|---:|---:|---:|",
            f"| connection lost → recovered | {shares} |",
            "",
            f"Reads of Cassandra meanwhile: {listed}.",
            "",
            _HOW_RECONNECT,
            "",
            _taken(machine, versions),
        ]
    )


def start(measured: Start, machine: Machine, versions: str) -> str:
    """The section of the start."""
    rows = sorted(measured.resident.items(), key=lambda row: -row[1])
    return "\n".join(
        [
            "## Start, and an idle stack",
            "",
            f"`chattifier up` on an empty folder **{measured.first:.0f} s** (with the downloads there), again on it"
            f" **{measured.warm:.0f} s** (aim: ≤ 60).",
            f"Resident when idle: **{measured.total / 2**30:.2f} GiB** (aim: ≤ 3).",
            "",
            "| part | RSS, MiB |",
            "|---|---:|",
            *(f"| {name} | {size / 2**20:.0f} |" for name, size in rows),
            "",
            "How: from the call of `up --detach` until it returns, when everything is ready; memory 15 s later. Pages"
            " that processes share count in each of them.",
            "",
            _taken(machine, versions),
        ]
    )


def idle(measured: Idle, machine: Machine, versions: str) -> str:
    """The section of the idle connections."""
    return "\n".join(
        [
            "## Memory of an idle connection",
            "",
            f"**{measured.slope / 1024:.1f} KiB** resident in the gateway per authenticated connection (slope).",
            "",
            "| connections | RSS of the gateway, MiB |",
            "|---:|---:|",
            *(f"| {count:,} | {size / 2**20:.1f} |" for count, size in measured.resident.items()),
            "",
            _HOW_IDLE,
            "",
            _taken(machine, versions),
        ]
    )


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:,.0f}" for value in values)


def _cpu_rows(measured: Talk) -> list[str]:
    heard = measured.heard
    rows = sorted(measured.cpu.items(), key=lambda item: -item[1])
    rows.append(("the clients themselves", heard.cpu))
    sent = measured.plan.sends - measured.plan.uncounted
    return [
        f"| {name} | {seconds:.1f} | {seconds / heard.wall * 100:.0f} | {seconds / sent * 1e6:,.0f} |"
        for name, seconds in rows
    ]


def _histogram(values: Sequence[float]) -> list[str]:
    """Share of deliveries by latency, up to p99, as a chart."""
    step = max(1, round(percentile(values, 0.99) / _BARS + 0.5))
    counts = [0] * _BARS
    for value in values:
        counts[min(_BARS - 1, int(value // step))] += 1
    labels = [f'"{place * step}-{place * step + step}"' for place in range(_BARS - 1)] + [f'"{(_BARS - 1) * step}+"']
    shares = ", ".join(f"{count / len(values) * 100:.2f}" for count in counts)
    return [
        "```mermaid",
        "xychart-beta",
        '    title "Deliveries by latency"',
        f'    x-axis "ms" [{", ".join(labels)}]',
        '    y-axis "% of deliveries"',
        f"    bar [{shares}]",
        "```",
    ]


def _taken(machine: Machine, versions: str) -> str:
    return f"<sub>{machine.line()}. {versions}.</sub>"

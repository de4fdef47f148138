"""The judge is judged: a good run passes, and each way to break a promise is caught and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.clients.journal import Acked, Attempted, Entry, Joined, Journal, Received, Refused
from tests.faults.judge import Delivery, Fault, Finding, Row, StoredRoom, Verdict, judge
from tests.faults.scenario import in_time

ROOM, USERS, MESSAGES = "the-room", ("ada", "grace"), 6


@dataclass
class Run:
    """What the judge is given. Tests change one thing in it."""

    journals: list[Journal]
    stored: dict[str, StoredRoom]

    def change(self, client: int, change: Callable[[list[Entry]], object]) -> None:
        """Change a journal's entries in place."""
        change(self.journals[client].entries)

    def store(self, messages: list[Row], log: list[tuple[int, str]] | None = None) -> None:
        """Have other rows stored."""
        self.stored[ROOM] = StoredRoom(messages, self.stored[ROOM].log if log is None else log)

    @property
    def rows(self) -> list[Row]:
        """The messages stored."""
        return list(self.stored[ROOM].messages)

    @property
    def faults(self) -> frozenset[Fault]:
        """What the judge says."""
        return judge(self.journals, self.stored, within=1.0).faults


@pytest.fixture
def run() -> Run:
    """Two members, six messages, all as it should be: offset 1 made the room, so a message's offset is seq + 1."""
    rows = [Row(seq, seq + 1, f"key-{seq}", USERS[seq % 2], f"text {seq}") for seq in range(1, MESSAGES + 1)]
    log = [(1, "key-of-the-room"), *((row.offset, row.key) for row in rows)]
    return Run([_journal(user, rows) for user in USERS], {ROOM: StoredRoom(rows, log)})


def _journal(user: str, rows: list[Row]) -> Journal:
    journal = Journal(f"{user}'s phone", user, [Joined(ROOM, 0, 1, "1", at=0.0)])
    for row in rows:
        if row.sender == user:
            journal.note(Attempted(ROOM, row.key, row.text, at=float(row.seq)))
            journal.note(Acked(ROOM, row.key, row.seq, row.offset, duplicate=False, at=row.seq + 0.01))
        journal.note(_received(row))
    return journal


def _received(row: Row) -> Received:
    return Received(ROOM, row.seq, row.offset, row.key, row.sender, row.text, at=row.seq + 0.02, how="live")


def _place(entries: list[Entry], kind: type[Entry], which: int = 2) -> int:
    """Where the entry number `which` of a kind is."""
    return [place for place, entry in enumerate(entries) if isinstance(entry, kind)][which]


def test_a_good_run_passes_and_is_counted(run: Run) -> None:
    """Nothing is found where nothing is wrong, and the figures are those of the run."""
    verdict = judge(run.journals, run.stored, within=1.0)
    assert not verdict.findings
    assert (verdict.attempted, verdict.acked, verdict.stored) == (MESSAGES, MESSAGES, MESSAGES)
    assert len(verdict.deliveries) == MESSAGES * len(USERS)
    assert verdict.worst == pytest.approx(0.02)


def test_a_message_that_was_acked_but_is_not_stored_is_lost(run: Run) -> None:
    """The last message is gone from the tables: one loss, named by its key."""
    run.store(run.rows[:-1], list(run.stored[ROOM].log)[:-1])
    verdict = judge(run.journals, run.stored)
    lost = [finding for finding in verdict.findings if finding.fault == Fault.LOST]
    assert len(lost) == 1
    assert f"key-{MESSAGES}" in lost[0].what


def test_a_message_that_is_stored_twice_is_doubled(run: Run) -> None:
    """The same key under a second number."""
    again = replace(run.rows[2], seq=MESSAGES + 1, offset=MESSAGES + 2)
    run.store([*run.rows, again], [*run.stored[ROOM].log, (again.offset, again.key)])
    assert Fault.DOUBLED in run.faults


def test_two_messages_in_another_order_are_a_disorder(run: Run) -> None:
    """One member got two messages the other way round, and nothing else is wrong."""

    def swap(entries: list[Entry]) -> None:
        one, other = _place(entries, Received, 2), _place(entries, Received, 3)
        entries[one], entries[other] = entries[other], entries[one]

    run.change(0, swap)
    assert run.faults == {Fault.DISORDER}


def test_a_message_that_one_member_did_not_get_is_missed(run: Run) -> None:
    """It is stored, and the other member got it."""
    run.change(1, lambda entries: entries.pop(_place(entries, Received)))
    assert run.faults == {Fault.MISSED}


def test_a_message_that_one_member_got_twice_is_repeated(run: Run) -> None:
    """As a reconnect may do that recovers too much."""
    run.change(1, lambda entries: entries.append(entries[_place(entries, Received, MESSAGES - 1)]))
    assert run.faults == {Fault.REPEATED}


def test_a_number_that_nobody_has_is_a_hole(run: Run) -> None:
    """The last message has the number after the next."""
    last = replace(run.rows[-1], seq=MESSAGES + 1)
    run.store([*run.rows[:-1], last])
    assert Fault.HOLE in run.faults


def test_an_offset_that_the_room_log_lacks_is_a_hole(run: Run) -> None:
    """Recovery reads the log: it must have what the messages have."""
    run.store(run.rows, [entry for entry in run.stored[ROOM].log if entry[0] != 3])
    assert run.faults == {Fault.HOLE}


def test_a_message_that_nobody_sent_is_foreign(run: Run) -> None:
    """A row with a key that no client knows."""
    extra = Row(MESSAGES + 1, MESSAGES + 2, "key-of-nobody", "ada", "boo")
    run.store([*run.rows, extra], [*run.stored[ROOM].log, (extra.offset, extra.key)])
    assert run.faults == {Fault.FOREIGN, Fault.MISSED}


def test_a_message_with_another_text_is_foreign(run: Run) -> None:
    """Stored otherwise than it was sent, whatever the members saw."""
    run.store([replace(run.rows[0], text="changed"), *run.rows[1:]])
    assert Fault.FOREIGN in run.faults


def test_an_ack_with_another_number_than_the_row_is_wrong(run: Run) -> None:
    """The sender was told seq 99."""

    def renumber(entries: list[Entry]) -> None:
        place = _place(entries, Acked)
        ack = entries[place]
        assert isinstance(ack, Acked)
        entries[place] = replace(ack, seq=99)

    run.change(0, renumber)
    assert run.faults == {Fault.WRONG_NUMBER}


def test_a_push_that_is_not_what_is_stored_is_strange(run: Run) -> None:
    """A member got a number with another message's text."""

    def falsify(entries: list[Entry]) -> None:
        place = _place(entries, Received)
        received = entries[place]
        assert isinstance(received, Received)
        entries[place] = replace(received, text="something else")

    run.change(0, falsify)
    assert run.faults == {Fault.STRANGE}


def test_a_message_from_before_the_client_joined_is_not_wanted(run: Run) -> None:
    """Who joins at seq 3 misses nothing of what came before, and must not get it as new."""
    run.journals[1].entries[0] = Joined(ROOM, 3, 4, "1", at=3.5)
    assert run.faults == {Fault.STRANGE}
    run.journals[1].entries[:] = [
        entry for entry in run.journals[1].entries if not (isinstance(entry, Received) and entry.seq <= 3)
    ]
    assert not run.faults


def test_a_send_that_is_neither_answered_nor_stored_has_vanished(run: Run) -> None:
    """Not a broken promise to its sender, who may try again; but nothing may get lost inside either."""
    run.journals[0].note(Attempted(ROOM, "key-in-vain", "hello?", at=9.0))
    assert run.faults == {Fault.VANISHED}


def test_a_send_that_is_refused_for_good_is_a_finding(run: Run) -> None:
    """Its sender gives it up; what is wrong for a while must be told as that."""
    run.journals[0].note(Attempted(ROOM, "key-of-a-good-one", "hello", at=9.0))
    run.journals[0].note(Refused(ROOM, "key-of-a-good-one", 108, at=9.1))
    assert run.faults == {Fault.REFUSED}


def test_a_send_that_is_stored_though_its_ack_did_not_arrive_is_fine(run: Run) -> None:
    """The sender cannot know, and may send it again under the same key."""
    run.change(0, lambda entries: entries.pop(_place(entries, Acked)))
    assert not run.faults


def test_a_delivery_after_its_time_is_late(run: Run) -> None:
    """One member got one message 1.5 s after it was meant to be sent; promised was one second."""

    def delay(entries: list[Entry]) -> None:
        place = _place(entries, Received, MESSAGES - 1)
        received = entries[place]
        assert isinstance(received, Received)
        entries[place] = replace(received, at=MESSAGES + 1.5)

    run.change(0, delay)
    assert run.faults == {Fault.LATE}
    assert judge(run.journals, run.stored, within=1.0).worst == pytest.approx(1.5)


def test_a_room_without_any_row_is_lost(run: Run) -> None:
    """Everything of a room that clients know is gone."""
    run.stored.clear()
    assert Fault.LOST in run.faults


def _verdict(delay: float, *faults: Fault) -> Verdict:
    """As if the last message had taken so long, and this had been found."""
    received = Received(ROOM, 1, 1, "key", "ada", "hello", at=delay, how="live")
    findings = tuple(Finding(fault, ROOM, "something") for fault in faults)
    return Verdict(findings, 1, 1, 1, (Delivery("ada", received, delay),))


@pytest.mark.parametrize(
    ("runs", "counts"),
    [
        ([_verdict(0.5)], 0),
        ([_verdict(2.0, Fault.LATE), _verdict(0.5), _verdict(0.6)], 2),
        ([_verdict(2.0, Fault.LATE), _verdict(0.5), _verdict(1.5, Fault.LATE)], 2),
        ([_verdict(0.3, Fault.LATE), _verdict(0.5), _verdict(0.2, Fault.LATE)], 2),  # an answer was
        ([_verdict(0.1, Fault.LOST)], 0),
        ([_verdict(2.0, Fault.LATE, Fault.LOST)], 0),
        ([_verdict(2.0, Fault.LATE), _verdict(0.5), _verdict(0.1, Fault.DOUBLED)], 2),
    ],
)
@pytest.mark.anyio
async def test_only_lateness_is_judged_by_the_median_of_three(runs: list[Verdict], counts: int) -> None:
    """Once late is no verdict, twice is; whatever else is found in any of the runs is."""
    waiting = iter(runs)

    async def run() -> Verdict:
        return next(waiting)

    assert await in_time(run) is runs[counts]
    assert next(waiting, None) is None, "it was not run as often as it should be"

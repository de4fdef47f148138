"""The judge: given what clients did and saw, and what is stored, is every promise kept?

    acked  ⊆  stored  ⊆  attempted       nothing lost, nothing made up
    each key once; seq and offset dense  nothing doubled, no hole
    received == stored since joining     every member, the same order, no number twice
    delivered within a stated time

A verdict names every broken promise. It knows nothing of how the system works: journals and rows are all it sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from itertools import pairwise

from tests.clients.journal import Acked, Attempted, Joined, Journal, Received, Refused


class Fault(StrEnum):
    """The ways in which a promise can be broken."""

    LOST = auto()
    """Acked, but not stored."""
    DOUBLED = auto()
    """Stored more than once."""
    FOREIGN = auto()
    """Stored, but nobody sent it; or stored with another text or sender."""
    HOLE = auto()
    """seq or offset are not dense from 1, or messages and room log disagree."""
    WRONG_NUMBER = auto()
    """Acked under other numbers than it is stored under."""
    MISSED = auto()
    """A member did not get it."""
    REPEATED = auto()
    """A member got it more than once."""
    DISORDER = auto()
    """A member got messages in another order than their numbers'."""
    STRANGE = auto()
    """A member got something that is not stored like that."""
    VANISHED = auto()
    """Sent, and neither acked nor refused nor stored: gone without a word."""
    REFUSED = auto()
    """Refused for good, though nobody here sends what may be refused: a trouble of ours is temporary."""
    LATE = auto()
    """Delivered later than promised."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of `messages`."""

    seq: int
    offset: int
    key: str
    sender: str
    text: str


@dataclass(frozen=True, slots=True)
class StoredRoom:
    """All that Cassandra has of a room. `log` is the room log: offset and key of each event, by offset."""

    messages: Sequence[Row]
    log: Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise. `what` names the message and the client."""

    fault: Fault
    room: str
    what: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.what} (room {self.room})"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that reached one member. `delay` in seconds from when it was meant to be sent."""

    client: str
    received: Received
    delay: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge found; `findings` is empty if every promise was kept."""

    findings: tuple[Finding, ...]
    attempted: int
    acked: int
    stored: int
    deliveries: tuple[Delivery, ...]
    """By rising delay."""

    @classmethod
    def of_all(cls, verdicts: Sequence[Verdict]) -> Verdict:
        """On several runs as on one."""
        return cls(
            findings=tuple(finding for one in verdicts for finding in one.findings),
            attempted=sum(one.attempted for one in verdicts),
            acked=sum(one.acked for one in verdicts),
            stored=sum(one.stored for one in verdicts),
            deliveries=tuple(sorted((two for one in verdicts for two in one.deliveries), key=lambda two: two.delay)),
        )

    def count(self, fault: Fault) -> int:
        """How often a promise was broken in this way."""
        return sum(finding.fault == fault for finding in self.findings)

    @property
    def faults(self) -> frozenset[Fault]:
        """The kinds of what was found."""
        return frozenset(finding.fault for finding in self.findings)

    @property
    def worst(self) -> float:
        """The longest delay of a delivery, in seconds; 0 without any."""
        return self.deliveries[-1].delay if self.deliveries else 0.0

    def percentile(self, part: float) -> float:
        """The delay that this part of all deliveries (0 to 1) did not exceed."""
        if not self.deliveries:
            return 0.0
        return self.deliveries[min(int(len(self.deliveries) * part), len(self.deliveries) - 1)].delay

    @property
    def summary(self) -> str:
        """What was found, how often; and the delays, as a slow median tells of a busy machine."""
        counts = Counter(finding.fault for finding in self.findings)
        found = ", ".join(f"{count} {fault}" for fault, count in sorted(counts.items())) or "every promise was kept"
        delays = (
            f"median delay {self.percentile(0.5):.3f} s, worst {self.worst:.3f} s" if self.deliveries else "silence"
        )
        return f"{found} ({delays})"

    def __str__(self) -> str:
        return "\n".join((self.summary, *(f"  {finding}" for finding in self.findings[:20])))


def judge(journals: Sequence[Journal], stored: Mapping[str, StoredRoom], *, within: float | None = None) -> Verdict:
    """The verdict on a run that has come to rest. `within`: seconds from meant-to-be-sent to every member's hands."""
    attempts = {entry.key: (journal.user, entry) for journal in journals for entry in journal.of(Attempted)}
    deliveries = sorted(_deliveries(journals, attempts), key=lambda delivery: delivery.delay)
    findings = [
        *_vanished(journals, stored),
        *_refused(journals),
        *_unknown_rooms(journals, stored),
        *(finding for journal in journals for finding in _acks(journal, stored)),
        *(finding for room, of_room in stored.items() for finding in _rows(room, of_room, attempts)),
        *(finding for journal in journals for finding in _member(journal, stored)),
        *_late(deliveries, within),
    ]
    return Verdict(
        findings=tuple(findings),
        attempted=len(attempts),
        acked=sum(1 for journal in journals for _ in journal.of(Acked)),
        stored=sum(len(of_room.messages) for of_room in stored.values()),
        deliveries=tuple(deliveries),
    )


Attempts = Mapping[str, tuple[str, Attempted]]
"""Who sent what, by key."""


def _vanished(journals: Iterable[Journal], stored: Mapping[str, StoredRoom]) -> Iterator[Finding]:
    there = {row.key for of_room in stored.values() for row in of_room.messages}
    for journal in journals:
        answered = {entry.key for entry in journal.entries if isinstance(entry, (Acked, Refused))}
        for attempt in journal.of(Attempted):
            if attempt.key not in answered and attempt.key not in there:
                yield Finding(Fault.VANISHED, attempt.room, f"{attempt.key} of {journal.client} is nowhere")


def _refused(journals: Iterable[Journal]) -> Iterator[Finding]:
    for journal in journals:
        for entry in journal.of(Refused):
            yield Finding(Fault.REFUSED, entry.room, f"{entry.key} of {journal.client} was refused with {entry.code}")


def _unknown_rooms(journals: Iterable[Journal], stored: Mapping[str, StoredRoom]) -> Iterator[Finding]:
    for journal in journals:
        for room in {entry.room for entry in journal.entries if isinstance(entry, (Acked, Joined, Received))}:
            if room not in stored:
                yield Finding(Fault.LOST, room, f"{journal.client} knows the room, but nothing of it is stored")


def _acks(journal: Journal, stored: Mapping[str, StoredRoom]) -> Iterator[Finding]:
    for ack in journal.of(Acked):
        rows = [row for row in stored[ack.room].messages if row.key == ack.key] if ack.room in stored else []
        promised = f"{ack.key}, acked to {journal.client} as seq {ack.seq}, offset {ack.offset}"
        if not rows:
            yield Finding(Fault.LOST, ack.room, f"{promised}, is not stored")
        elif all((row.seq, row.offset) != (ack.seq, ack.offset) for row in rows):
            yield Finding(
                Fault.WRONG_NUMBER, ack.room, f"{promised}, is stored as seq {rows[0].seq}, offset {rows[0].offset}"
            )


def _rows(room: str, stored: StoredRoom, attempts: Attempts) -> Iterator[Finding]:
    for key, count in Counter(row.key for row in stored.messages).items():
        if count > 1:
            yield Finding(Fault.DOUBLED, room, f"{key} is stored {count} times")
    for row in stored.messages:
        user, attempt = attempts.get(row.key, ("", None))
        if attempt is None:
            yield Finding(Fault.FOREIGN, room, f"seq {row.seq} has the key {row.key}, which nobody sent")
        elif (attempt.room, attempt.text, user) != (room, row.text, row.sender):
            yield Finding(Fault.FOREIGN, room, f"seq {row.seq}, {row.key}, is not as it was sent")
    yield from _dense(room, "seq", sorted(row.seq for row in stored.messages))
    yield from _dense(room, "offset", sorted(offset for offset, _ in stored.log))
    logged = dict(stored.log)
    for row in stored.messages:
        if logged.get(row.offset) != row.key:
            yield Finding(Fault.HOLE, room, f"the room log does not have seq {row.seq} at offset {row.offset}")


def _dense(room: str, number: str, found: Sequence[int]) -> Iterator[Finding]:
    for number_found, expected in zip(found, range(1, len(found) + 1), strict=True):
        if number_found != expected:
            yield Finding(Fault.HOLE, room, f"{number} {expected} is missing or {number_found} is there twice")
            return


def _member(journal: Journal, stored: Mapping[str, StoredRoom]) -> Iterator[Finding]:
    """Each room of one client: it got exactly what is stored since it joined, in that order."""
    joined = {entry.room: entry.seq for entry in reversed(list(journal.of(Joined)))}
    received: dict[str, list[Received]] = {room: [] for room in joined}
    for entry in journal.of(Received):
        received.setdefault(entry.room, []).append(entry)
    for room, entries in received.items():
        if room in stored:
            yield from _compare(journal.client, room, entries, stored[room].messages, joined.get(room))


def _compare(
    client: str, room: str, received: Sequence[Received], messages: Iterable[Row], joined: int | None
) -> Iterator[Finding]:
    rows = {row.seq: row for row in messages}
    wanted = {seq for seq in rows if joined is not None and seq > joined}
    times = Counter(entry.seq for entry in received)
    for seq, count in times.items():
        if count > 1:
            yield Finding(Fault.REPEATED, room, f"{client} got seq {seq} {count} times")
    for entry in received:
        row = rows.get(entry.seq)
        if entry.seq not in wanted or row is None or not _same(entry, row):
            yield Finding(Fault.STRANGE, room, f"{client} got seq {entry.seq} with {entry.key}, which is not its")
    for seq in sorted(wanted - times.keys()):
        yield Finding(Fault.MISSED, room, f"{client} did not get seq {seq}, {rows[seq].key}")
    firsts = list(dict.fromkeys(entry.seq for entry in received))
    if firsts != sorted(firsts):
        swapped = next(later for earlier, later in pairwise(firsts) if later < earlier)
        yield Finding(Fault.DISORDER, room, f"{client} got seq {swapped} after a higher one")


def _same(entry: Received, row: Row) -> bool:
    seen = (entry.seq, entry.offset, entry.key, entry.sender, entry.text)
    return seen == (row.seq, row.offset, row.key, row.sender, row.text)


def _deliveries(journals: Iterable[Journal], attempts: Attempts) -> Iterator[Delivery]:
    for journal in journals:
        for entry in journal.of(Received):
            if entry.key in attempts:
                yield Delivery(journal.client, entry, entry.at - attempts[entry.key][1].at)


def _late(deliveries: Sequence[Delivery], within: float | None) -> Iterator[Finding]:
    for delivery in deliveries:
        if within is not None and delivery.delay > within:
            entry = delivery.received
            took = f"{delivery.client} got seq {entry.seq} ({entry.how}) {delivery.delay:.3f} s after it was sent"
            yield Finding(Fault.LATE, entry.room, f"{took}, promised are {within:.3f}")

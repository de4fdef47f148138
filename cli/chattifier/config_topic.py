"""The topic of settings: the last message of each group is in force everywhere, those before it are its history."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pulsar
from pydantic import JsonValue
from pydantic_core import to_json

from chattifier.config_files import Wanted
from pulsar_data import topics
from pulsar_data.config import GROUPS, Published

READ_WITHIN_MS = 10_000


@dataclass(frozen=True)
class Origin:
    """Whose settings they are: a commit or a hash, where they come from, who made them."""

    version: str
    source: str
    by: str


@dataclass(frozen=True)
class Change:
    """What a message did to its group."""

    published: Published
    before: Mapping[str, JsonValue]

    @property
    def differences(self) -> list[tuple[str, JsonValue, JsonValue]]:
        """Name, old and new value, in the order of the documentation; None is what each part was started with."""
        old, new = self.before, self.published.values
        kind = GROUPS.get(self.published.group)
        known = list(kind.model_fields) if kind is not None else []
        names = [*known, *(name for name in {**old, **new} if name not in known)]
        return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


@dataclass(frozen=True)
class History:
    """What is on the topic, oldest first. `unread`: how many messages are broken, or of a later version."""

    messages: Sequence[Published]
    unread: int

    @property
    def last(self) -> dict[str, Published]:
        """What is in force, by group."""
        return {one.group: one for one in self.messages}

    def changes(self) -> Iterator[Change]:
        """What each message did."""
        values: dict[str, Mapping[str, JsonValue]] = {}
        for one in self.messages:
            yield Change(one, values.get(one.group, {}))
            values[one.group] = one.values


def read(client: pulsar.Client, *, compacted: bool) -> History:
    """Everything that is there; `compacted`: at least the last message of each group, and it is quicker."""
    reader = client.create_reader(topics.CONFIG, pulsar.MessageId.earliest, is_read_compacted=compacted)
    messages: list[Published] = []
    unread = 0
    try:
        while reader.has_message_available():
            try:
                messages.append(Published.from_json(reader.read_next(timeout_millis=READ_WITHIN_MS).data()))
            except ValueError:
                unread += 1
    finally:
        reader.close()
    return History(messages, unread)


def publish(client: pulsar.Client, wanted: Wanted, origin: Origin) -> list[Change]:
    """Publish the groups that differ from what is in force. Returns what changed; each is durable then."""
    last = read(client, compacted=True).last
    values = dict(wanted.values)
    if wanted.whole:
        values |= {group: {} for group in last if group in GROUPS and group not in values}
    changes = []
    for group, new in values.items():
        before = last[group].values if group in last else {}
        if new != before:
            published = Published(
                group=group, values=new, version=origin.version, source=origin.source, by=origin.by,
                time=time.time_ns() // 1_000_000,
            )  # fmt: skip
            changes.append(Change(published, before))
    if changes:
        producer = client.create_producer(topics.CONFIG, batching_enabled=False)
        for change in changes:
            producer.send(change.published.to_json(), partition_key=change.published.group)
        producer.close()
    return changes


def hashed(wanted: Wanted) -> str:
    """A version for settings that are in no repository: the same values have the same."""
    return hashlib.blake2b(
        to_json({group: wanted.values[group] for group in sorted(wanted.values)}), digest_size=6
    ).hexdigest()

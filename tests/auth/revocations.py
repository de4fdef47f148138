"""Reads topic `sessions` as a gateway does."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TypeVar

import pulsar

from pulsar_data import topics
from pulsar_data.accounts import ACCOUNT_EVENT, AccountEvent
from pulsar_data.news import ProfileChanged
from pulsar_data.tokens import SessionsRevoked

E = TypeVar("E", SessionsRevoked, ProfileChanged)


class RevocationLog:
    """Every revocation and every profile published since it was opened."""

    def __init__(self, url: str) -> None:
        self._client = pulsar.Client(url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
        self._reader = self._client.create_reader(topics.SESSIONS, pulsar.MessageId.latest)
        self._seen: list[tuple[str, AccountEvent]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def of(self, user_id: str, count: int = 1) -> list[SessionsRevoked]:
        """The revocations of a user, once there are that many; each is keyed by its user."""
        return self._wait(SessionsRevoked, user_id, count)

    def profiles(self, user_id: str, count: int = 1) -> list[ProfileChanged]:
        """The same of the changes of a user's profile."""
        return self._wait(ProfileChanged, user_id, count)

    def _wait(self, kind: type[E], user_id: str, count: int) -> list[E]:
        deadline = time.monotonic() + 10
        while len(found := self._of(kind, user_id)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} {kind.__name__} of {user_id} in 10 s"
            self._read_on()
        return found

    def _of(self, kind: type[E], user_id: str) -> list[E]:
        return [event for key, event in self._seen if isinstance(event, kind) and event.user == user_id == key]

    def _read_on(self) -> None:
        try:
            message = self._reader.read_next(timeout_millis=500)
        except pulsar.Timeout:
            return
        self._seen.append((message.partition_key(), ACCOUNT_EVENT.validate_json(message.data())))

"""Reads topic `sessions` as a gateway does."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import pulsar

from pulsar_data import topics
from pulsar_data.tokens import SessionsRevoked


class RevocationLog:
    """Every revocation published since it was opened."""

    def __init__(self, url: str) -> None:
        self._client = pulsar.Client(url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
        self._reader = self._client.create_reader(topics.SESSIONS, pulsar.MessageId.latest)
        self._seen: list[tuple[str, SessionsRevoked]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def of(self, user_id: str, count: int = 1) -> list[SessionsRevoked]:
        """The revocations of a user, once there are that many; each is keyed by its user."""
        deadline = time.monotonic() + 10
        while len(found := self._of(user_id)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} revocations of {user_id} in 10 s"
            self._read_on()
        return found

    def _of(self, user_id: str) -> list[SessionsRevoked]:
        return [event for key, event in self._seen if event.user == user_id == key]

    def _read_on(self) -> None:
        try:
            message = self._reader.read_next(timeout_millis=500)
        except pulsar.Timeout:
            return
        self._seen.append((message.partition_key(), SessionsRevoked.from_json(message.data())))

"""Tells the gateways, over Pulsar, which sessions have ended and whose profile has changed."""

from __future__ import annotations

from threading import Timer
from typing import TYPE_CHECKING, Final, NamedTuple

from pulsar_data import topics
from user_auth import logs
from user_auth.errors import Unavailable
from user_auth.once import Once
from user_auth.settings import Settings

if TYPE_CHECKING:
    from pulsar import Client, Producer

    from pulsar_data.accounts import AccountEvent

TIMEOUT: Final = 2
"""Seconds to reach the broker, and again for its receipt."""


class _Link(NamedTuple):
    client: Client
    producer: Producer


class Announcements:
    """Publishes events of accounts, keyed by user. Thread-safe; connects at the first one.

    And anew after one that failed without a connection: the library may take a minute for that, and loses some
    producers for good, such as one that connected while a full disk had the broker close its topic.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.pulsar_url
        self._token = settings.pulsar_token
        self._authorities = settings.pulsar_ca_file
        self._link: Once[_Link] = Once(self._connect, patience=2.0 * TIMEOUT)

    def tell(self, event: AccountEvent) -> None:
        """Returns when the broker has it. Raises Unavailable where it does not take it in time."""
        from pulsar import PulsarException

        link = self._link.get()
        try:
            link.producer.send(event.to_json(), partition_key=event.user)
        except PulsarException as error:
            logs.failure("pulsar_failed", error, pulsar=self._url, topic=topics.SESSIONS)
            if not link.producer.is_connected() and self._link.forget(link):
                later = Timer(2.0 * TIMEOUT, _close, [link.client])  # others may be sending on it
                later.daemon = True
                later.start()
            raise Unavailable from error

    def _connect(self) -> _Link:
        from pulsar import AuthenticationToken, Client, PulsarException

        from pulsar_data import half_open

        half_open.bound_ours()
        authentication = AuthenticationToken(self._token) if self._token else None
        try:
            client = Client(
                self._url,
                authentication=authentication,
                tls_trust_certs_file_path=str(self._authorities) if self._authorities else None,
                tls_validate_hostname=True,
                operation_timeout_seconds=TIMEOUT,
                connection_timeout_ms=TIMEOUT * 1000,
                logger=logs.PULSAR,
            )
        except ValueError as error:
            logs.failure("pulsar_address_invalid", error, pulsar=self._url)
            raise Unavailable from error
        try:
            producer = client.create_producer(
                topics.SESSIONS,
                send_timeout_millis=TIMEOUT * 1000,
                batching_enabled=False,  # one at a time, and somebody waits for it
                block_if_queue_full=False,
            )
            return _Link(client, producer)
        except PulsarException as error:
            logs.failure("pulsar_unreachable", error, pulsar=self._url, topic=topics.SESSIONS)
            _close(client)
            raise Unavailable from error


def _close(client: Client) -> None:
    from pulsar import PulsarException

    try:
        client.close()
    except PulsarException as error:
        logs.failure("pulsar_not_closed", error)

"""Pulsar's tenant, namespaces and topics, made by its admin API. Everything here can be done twice."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import httpx

from chattifier.errors import DeployError
from pulsar_data import topics
from pulsar_data.event_schema import definition

MIB = 1  # Pulsar counts retention in MiB
GIB = 1024 * MIB
DAY = 24 * 60  # and in minutes
FOREVER: Mapping[str, int] = {"retentionTimeInMinutes": -1, "retentionSizeInMB": -1}
EVENTS_RETENTION: Mapping[str, int] = {"retentionTimeInMinutes": 7 * DAY, "retentionSizeInMB": 10 * GIB}
"""`events` is what others build on, and a lost table can be made from: a week of it, at most 10 GiB a partition."""
CORE_RETENTION: Mapping[str, int] = {"retentionTimeInMinutes": 60, "retentionSizeInMB": GIB}
"""The rest of chat/core: an hour after it was consumed, for whoever has to look what happened."""
CONFIG_COMPACTED = 64 * 1024
"""Bytes after which settings are compacted: who starts reads the last of each group, not all that ever were."""
GATEWAY_TTL_SECONDS = 600
"""A gateway that was away from its topic for half of that asks its sockets to come back, and recover."""

CLASSIC = "subscriptionKeySharedUseClassicPersistentImplementation"
"""Broker setting. Unless it is on, a room can stand still: see `advice`."""
REDIRECTS = 5
_NOT_FOR_US = (401, 403, 404)
"""Answers all the same, where a token has no right to ask."""
Json = Mapping[str, object] | list[str] | int | bool


@dataclass(frozen=True)
class Admin:
    """Pulsar's admin API at an address, with a token if it wants one, and authorities if public ones do not vouch."""

    url: str
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        allowed: tuple[int, ...] = (),
        files: Mapping[str, tuple[str | None, bytes, str]] | None = None,
    ) -> httpx.Response:
        """One call, with a JSON body or a form of files. Raises DeployError unless it answers 2xx or as `allowed`.

        A broker sends us to the one that owns a topic, which wants the token as well.
        """
        url = f"{self.url}{path}"
        try:
            for _ in range(REDIRECTS):
                response = self._client.request(method, url, json=body, files=files)
                if response.status_code not in (307, 308) or "location" not in response.headers:
                    break
                url = response.headers["location"]
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise DeployError(
                f"Pulsar's admin API does not answer at {self.url}: {error or type(error).__name__}."
            ) from error
        if not response.is_success and response.status_code not in allowed:
            raise DeployError(
                f"Pulsar answered {response.status_code} to {method} {path}: {response.text[:200].strip()}"
            )
        return response

    @cached_property
    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        trusted = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else True
        return httpx.Client(headers=headers, timeout=30, trust_env=False, verify=trusted)


def ensure(admin: Admin) -> str:
    """Make the tenant, namespaces, topics and their policies as far as they are missing. Says what there is."""
    clusters: list[str] = [name for name in admin.request("GET", "/admin/v2/clusters").json() if name != "global"]
    tenant: Json = {"adminRoles": [], "allowedClusters": clusters}
    made = admin.request("PUT", f"/admin/v2/tenants/{topics.TENANT}", tenant, (401, 403, 409))
    if made.status_code in (401, 403):  # to make one takes a superuser; an admin of one that is there is enough
        admin.request("GET", f"/admin/v2/namespaces/{topics.TENANT}")
    for namespace in topics.NAMESPACES:
        _namespace(admin, namespace)
    for topic, partitions in topics.PARTITIONS.items():
        _partitioned(admin, topic, partitions)
    admin.request("DELETE", "/admin/v2/namespaces/chat/core/autoTopicCreation")
    for topic in _kept_for_ever():
        admin.request("PUT", f"/admin/v2/{_path(topic)}", allowed=(409,))
    _policies(admin)
    _register_events(admin)
    return f"{len(topics.NAMESPACES)} namespaces, {len(topics.PARTITIONS)} partitioned topics"


def await_ready(admin: Admin, seconds: float) -> None:
    """Wait until broker and functions worker answer, the latter later. Raises DeployError with the last reason."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            admin.request("GET", "/admin/v2/worker/cluster", allowed=_NOT_FOR_US)
            admin.request("GET", "/admin/v3/functions/public/default", allowed=_NOT_FOR_US)
        except DeployError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def advice(admin: Admin) -> str | None:
    """What is to be changed in the broker's settings, as far as this token may see them.

    While a room goes from one instance to another, Pulsar puts aside what comes for it. Since 4.0 (seen in 4.0.8) it
    forgets to look at it again if it reads ahead of it at the wrong moment: it then lies there until something else
    happens in that partition. The way in which it did this before is still there.
    """
    response = admin.request("GET", "/admin/v2/brokers/configuration/runtime", allowed=(401, 403, 404))
    if not response.is_success or response.json().get(CLASSIC, "true") == "true":  # older ones have no other way
        return None
    return (
        f"Set {CLASSIC}=true in this Pulsar's brokers: without it a quiet room may stand still after an"
        f" instance was replaced. `pulsar-admin brokers update-dynamic-config --config {CLASSIC} --value true`"
        " does it while they run, for subscriptions that are opened from then on."
    )


def _namespace(admin: Admin, namespace: str) -> None:
    path = f"/admin/v2/namespaces/{namespace}"
    # Gateways may be waiting for the topics: the first look of one must not make them, as it would without partitions.
    policies = {"autoTopicCreationOverride": {"allowAutoTopicCreation": False}} if namespace == "chat/core" else {}
    admin.request("PUT", path, policies, allowed=(409,))
    if namespace == "chat/gateways":
        admin.request("POST", f"{path}/messageTTL", GATEWAY_TTL_SECONDS)
    elif namespace == "chat/core":
        _unless_set(admin, f"{path}/retention", CORE_RETENTION)
    else:
        _unless_set(admin, f"{path}/retention", FOREVER)


def _unless_set(admin: Admin, path: str, policy: Json) -> None:
    """What an operator has set stays: a shorter retention would throw away what it kept."""
    response = admin.request("GET", path, allowed=(404,))
    if not response.is_success or response.content.strip() in (b"", b"null"):
        admin.request("POST", path, policy)


def _partitioned(admin: Admin, topic: str, partitions: int) -> None:
    path = f"/admin/v2/{_path(topic)}/partitions"
    admin.request("PUT", path, partitions, allowed=(409,))
    if admin.request("GET", path).json()["partitions"] == 0:
        raise DeployError(
            f"{topic} is there, but without partitions: something used it before. Delete it and try again."
        )


def _kept_for_ever() -> tuple[str, ...]:
    return (*(topics.dead_letters(name) for name in topics.FUNCTIONS), topics.CONFIG)


def _register_events(admin: Admin) -> None:
    """The schema of `events`, and that nobody publishes there without it. 409: it does not follow from the last one."""
    schema = {"type": "JSON", "schema": json.dumps(definition()), "properties": {}}
    admin.request("POST", f"/admin/v2/schemas/{topics.EVENTS.partition('://')[2]}/schema", schema)
    admin.request("POST", f"/admin/v2/{_path(topics.EVENTS)}/schemaValidationEnforced", True)


def _policies(admin: Admin) -> None:
    """Retention where it differs from the namespace's, and no deletion of what is merely quiet."""
    _unless_set(admin, f"/admin/v2/{_path(topics.EVENTS)}/retention", EVENTS_RETENTION)
    for topic in _kept_for_ever():
        _unless_set(admin, f"/admin/v2/{_path(topic)}/retention", FOREVER)
    _unless_set(admin, f"/admin/v2/{_path(topics.CONFIG)}/compactionThreshold", CONFIG_COMPACTED)
    for topic in (topics.COMMANDS, topics.EVENTS, topics.QUERIES, *_kept_for_ever()):
        _unless_set(admin, f"/admin/v2/{_path(topic)}/inactiveTopicPolicies", _NEVER_INACTIVE)


_NEVER_INACTIVE: Mapping[str, object] = {
    "inactiveTopicDeleteMode": "delete_when_no_subscriptions",
    "maxInactiveDurationSeconds": 0,
    "deleteWhileInactive": False,
}


def _path(topic: str) -> str:
    """A topic's place in the admin API: `persistent/tenant/namespace/name`."""
    domain, _, rest = topic.partition("://")
    return f"{domain}/{quote(rest)}"

"""A cluster's keys when something fails in the middle, and beside what others have put there.

The API is one in memory here; tests/cluster makes and rotates keys in a real one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chattifier import keys
from chattifier.cluster_keys import Json, ensure, rotate
from chattifier.errors import ClusterError

LATER = datetime.now(UTC) + timedelta(days=30)


class Namespace:
    """Objects by kind and name; `fails` is asked before each change whether the API is away."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {
            ("serviceaccounts", "keys"): {"metadata": {"name": "keys", "uid": "u"}}
        }
        self.fails: Callable[[str], bool] = lambda kind: False

    def get(self, kind: str, name: str) -> Json | None:
        """A copy."""
        return copy.deepcopy(self.objects.get((kind, name)))

    def create(self, kind: str, body: Json) -> Json | None:
        """Unless it is there."""
        if (kind, body["metadata"]["name"]) in self.objects:
            return None
        self.replace(kind, body)
        return body

    def replace(self, kind: str, body: Json) -> None:
        """Raises ClusterError where the API is away."""
        if self.fails(kind):
            raise ClusterError("away")
        self.objects[kind, body["metadata"]["name"]] = copy.deepcopy(dict(body))

    def signing(self) -> list[str]:
        """The kids that user-auth may sign with."""
        return sorted(name.removesuffix(".pem") for name in self.objects["secrets", "signing-keys"]["data"])

    def published(self, file: str = "jwks.json") -> list[str]:
        """The kids that gateways and edge know."""
        return sorted(key["kid"] for key in json.loads(self.objects["configmaps", "public-keys"]["data"][file])["keys"])

    def publish(self, **data: str) -> None:
        """By other means."""
        self.objects["configmaps", "public-keys"] = {"metadata": {"name": "public-keys"}, "data": data}


@pytest.fixture
def namespace() -> Any:
    """One without keys."""
    return Namespace()


def foreign(kid: str) -> Mapping[str, Any]:
    """A public key of somebody else's."""
    key: Mapping[str, Any] = json.loads(keys.jwks({kid: keys.private_key()}))["keys"][0]
    return key


def test_a_key_signs_only_once_it_is_published(namespace: Any) -> None:
    """Whichever of its steps a rotation fails at; and repeating it is enough."""
    ensure(namespace)
    for number in range(1, 4):
        now = LATER + timedelta(days=number)
        for kind in ("configmaps", "secrets"):
            namespace.fails = lambda failing, kind=kind: failing == kind
            with pytest.raises(ClusterError, match="away"):
                rotate(namespace, now)
            assert set(namespace.signing()) <= set(namespace.published())
        namespace.fails = lambda kind: False
        rotate(namespace, now + timedelta(seconds=1))
        assert namespace.signing()[-1] == keys.kid(now + timedelta(seconds=1))
        assert len(namespace.signing()) == 2
        assert set(namespace.signing()) <= set(namespace.published())


def test_who_rotates_too_often_publishes_what_is_missing(namespace: Any) -> None:
    """It may be a rotation that was ended in the middle."""
    ensure(namespace)
    rotate(namespace, LATER)
    namespace.publish(**{"jwks.json": json.dumps({"keys": [foreign("a")]}), "service-jwks.json": '{"keys": []}'})
    with pytest.raises(ClusterError, match="at most once"):
        rotate(namespace, LATER + timedelta(minutes=1))
    assert set(namespace.published()) == {"a", *namespace.signing()}


def test_a_key_that_was_rotated_out_verifies_no_more(namespace: Any) -> None:
    """Only the two last ones do."""
    ensure(namespace)
    for day in range(4):
        rotate(namespace, LATER + timedelta(days=day))
    assert namespace.published() == namespace.signing() == [keys.kid(LATER + timedelta(days=day)) for day in (2, 3)]


def test_a_key_that_a_rotation_could_not_take_out_is_taken_out_by_the_next_repeat(namespace: Any) -> None:
    """It was published once more beside the new one."""
    ensure(namespace)
    for day in range(3):
        rotate(namespace, LATER + timedelta(days=day))
    (oldest, *_) = namespace.signing()
    calls = 0

    def second(kind: str) -> bool:
        nonlocal calls
        calls += kind == "configmaps"
        return calls == 2

    namespace.fails = second
    with pytest.raises(ClusterError, match="away"):
        rotate(namespace, LATER + timedelta(days=3))
    assert oldest in namespace.published()
    ensure(namespace)
    assert namespace.published() == namespace.signing()


def test_a_key_that_is_taken_out_of_the_secret_verifies_no_more(namespace: Any) -> None:
    """As one that has leaked."""
    ensure(namespace)
    rotate(namespace, LATER)
    del namespace.objects["secrets", "signing-keys"]["data"][f"{keys.kid(LATER)}.pem"]
    ensure(namespace)
    assert namespace.published() == namespace.signing()


def test_what_others_have_published_stays(namespace: Any) -> None:
    """Keys that only verify, other files, and the very text, where nothing is missing."""
    ensure(namespace)
    ours = json.loads(namespace.objects["configmaps", "public-keys"]["data"]["jwks.json"])["keys"]
    text = json.dumps({"keys": [foreign("retired"), *ours]})
    service = namespace.objects["configmaps", "public-keys"]["data"]["service-jwks.json"]
    namespace.publish(**{"jwks.json": text, "service-jwks.json": service, "other": "x"})
    ensure(namespace)
    assert namespace.objects["configmaps", "public-keys"]["data"] == {
        "jwks.json": text, "service-jwks.json": service, "other": "x"
    }  # fmt: skip
    rotate(namespace, LATER)
    assert {"retired", *namespace.signing()} == set(namespace.published())
    assert namespace.objects["configmaps", "public-keys"]["data"]["other"] == "x"


def test_no_key_at_all_is_never_published(namespace: Any) -> None:
    """A Secret whose entries have other names is said to be one."""
    namespace.objects["secrets", "signing-keys"] = {"metadata": {"name": "signing-keys"}, "data": {"tls.key": "eA=="}}
    with pytest.raises(ClusterError, match=r"<kid>\.pem"):
        ensure(namespace)
    assert ("configmaps", "public-keys") not in namespace.objects

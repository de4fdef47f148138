"""The signing keys of a cluster: private halves in Secrets, public ones in a ConfigMap, made by its own API.

    Secret signing-keys      <kid>.pem, of which user-auth signs with the last one that is old enough
    Secret service-keys      <kid>.pem, for `chattifier service-token`; mounted nowhere
    ConfigMap public-keys    jwks.json and service-jwks.json, the public halves of both

All of it belongs to the ServiceAccount `keys`, and goes when that is deleted. What others have put there stays.
"""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx

from chattifier import keys
from chattifier.errors import ClusterError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
OWNER: Final = "keys"
PUBLIC: Final = "public-keys"
PUBLISHED: Final = {"signing-keys": "jwks.json", "service-keys": "service-jwks.json"}
"""The file with the public halves of each Secret."""
LIVE: Final = 2
"""Keys that verify at once: tokens of the one before last have expired long before."""
APART: Final = timedelta(hours=1)
"""Between two rotations: a new key waits five minutes before it signs, and tokens of the old one live for 15."""
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Namespace:
    """The namespace that this process runs in, as its ServiceAccount may see it."""

    api: str
    name: str
    token: str = field(repr=False)
    authority: Path

    @classmethod
    def ours(cls, environ: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Namespace:
        """Raises ClusterError outside of a cluster."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if host is None or not (account / "token").exists():
            raise ClusterError("This runs in a pod with a ServiceAccount only: see k8s/set-up/keys.yaml.")
        address = f"[{host}]" if ":" in host else host
        name, token = ((account / file).read_text().strip() for file in ("namespace", "token"))
        return cls(f"https://{address}:{port}", name, token, account / "ca.crt")

    def get(self, kind: str, name: str) -> Json | None:
        """An object, if it is there. Raises ClusterError."""
        return self._request("GET", f"{kind}/{name}", allowed=(404,))

    def create(self, kind: str, body: Json) -> Json | None:
        """Make an object; None if somebody else just has. Raises ClusterError."""
        return self._request("POST", kind, body, allowed=(409,))

    def replace(self, kind: str, body: Json) -> None:
        """Put an object in the place of the one that was read. Raises ClusterError, also if that has changed since."""
        self._request("PUT", f"{kind}/{body['metadata']['name']}", body)

    def _request(self, method: str, path: str, body: Json | None = None, allowed: tuple[int, ...] = ()) -> Json | None:
        address = f"/api/v1/namespaces/{self.name}/{path}"
        try:
            response = self._client.request(method, address, json=body)
        except httpx.HTTPError as error:
            raise ClusterError(
                f"The Kubernetes API at {self.api} does not answer: {error or type(error).__name__}."
            ) from error
        if response.status_code in allowed:
            return None
        if not response.is_success:  # not the text: it may repeat what was sent
            raise ClusterError(f"Kubernetes answered {response.status_code} to {method} {address}.")
        found: Json = response.json()
        return found

    @cached_property
    def _client(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.authority))
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.api, headers=headers, verify=context, timeout=30, trust_env=False)


def ensure(namespace: Namespace) -> str:
    """Make what is missing, and publish the public halves of all keys. Says what there is. Raises ClusterError."""
    owner = _owner(namespace)
    found = {name: _secret(namespace, name, owner) for name in PUBLISHED}
    for name, pems in found.items():
        _publish(namespace, name, pems, owner)
    return ", ".join(f"{name}: {' '.join(sorted(pems))}" for name, pems in found.items())


def rotate(namespace: Namespace, now: datetime) -> str:
    """Publish a new key and add it to `signing-keys`; it signs five minutes later. The key before the last one goes.

    Ended anywhere in between it is repeated: nobody signs with a key that is not published. Raises ClusterError if the
    last one is younger than an hour; what that one lacks is published first.
    """
    secret = namespace.get("secrets", "signing-keys")
    if secret is None:
        raise ClusterError("There are no keys to rotate: make some with `chattifier keys ensure`.")
    pems = _pems(secret)
    if max(pems, default="") > keys.kid(now - APART):
        ensure(namespace)
        raise ClusterError(f"The last key is of {max(pems)}: rotate at most once in {APART}.")
    kept = dict(sorted((pems | {keys.kid(now): keys.private_key()}).items())[-LIVE:])
    owner = _owner(namespace)
    _publish(namespace, "signing-keys", pems | kept, owner, forgets=False)
    namespace.replace("secrets", {**secret, "data": _encoded(kept)})
    return ensure(namespace)


def _owner(namespace: Namespace) -> Json:
    account = namespace.get("serviceaccounts", OWNER)
    if account is None:
        raise ClusterError(f"There is no ServiceAccount {OWNER}: see k8s/set-up/keys.yaml.")
    return {"apiVersion": "v1", "kind": "ServiceAccount", "name": OWNER, "uid": account["metadata"]["uid"]}


def _secret(namespace: Namespace, name: str, owner: Json) -> dict[str, bytes]:
    """The keys of a Secret, by kid; makes the first one."""
    there = namespace.get("secrets", name)
    if there is None:
        data = _encoded({keys.kid(datetime.now(UTC)): keys.private_key()})
        there = namespace.create("secrets", {"metadata": _metadata(name, owner), "type": "Opaque", "data": data})
    if there is None:
        raise ClusterError(f"Somebody else just made the Secret {name}. Run this again.")
    return _pems(there)


def _publish(namespace: Namespace, name: str, pems: Mapping[str, bytes], owner: Json, *, forgets: bool = True) -> None:
    """The public halves of a Secret's keys, beside whatever else is published.

    `forgets`: not beside keys that are named as ours are and are not of the Secret any more.
    """
    there = namespace.get("configmaps", PUBLIC)
    data: Mapping[str, str] = (there or {}).get("data") or {}
    file = PUBLISHED[name]
    old = _by_kid(data.get(file, '{"keys": []}'))
    gone = {kid for kid in old if forgets and _of_ours(kid) and kid not in pems}
    new = {kid: key for kid, key in (old | _by_kid(keys.jwks(pems))).items() if kid not in gone}
    if not new:  # nobody could sign in, nor be let in
        raise ClusterError(f"The Secret {name} has no key: its entries are named <kid>.pem.")
    if new == old:
        return
    data = {**data, file: json.dumps({"keys": list(new.values())}, indent=2)}
    if there is None:
        namespace.create("configmaps", {"metadata": _metadata(PUBLIC, owner), "data": data})
    else:
        namespace.replace("configmaps", {**there, "data": data})


def _of_ours(kid: str) -> bool:
    """Whether it is named after the time at which it was made."""
    return re.fullmatch(r"\d{8}T\d{6}Z", kid) is not None


def _by_kid(jwks: str) -> dict[str, Json]:
    try:
        return {key["kid"]: key for key in json.loads(jwks)["keys"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"What the ConfigMap {PUBLIC} has is no JWKS: mend it, or delete it.") from error


def _metadata(name: str, owner: Json) -> Json:
    return {"name": name, "labels": {"app.kubernetes.io/part-of": "chattifier"}, "ownerReferences": [owner]}


def _pems(secret: Json) -> dict[str, bytes]:
    data: Mapping[str, str] = secret.get("data", {})
    return {name.removesuffix(".pem"): base64.b64decode(text) for name, text in data.items() if name.endswith(".pem")}


def _encoded(pems: Mapping[str, bytes]) -> dict[str, str]:
    return {f"{kid}.pem": base64.b64encode(pem).decode() for kid, pem in pems.items()}

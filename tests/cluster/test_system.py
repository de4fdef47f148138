"""One command brings up everything on an empty cluster, and it works; once more changes nothing; one takes it away."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from tests.canary import fresh_password
from tests.clients.device import Device
from tests.clients.limits import closed_with
from tests.clients.people import Person, sign_up
from tests.clients.talkers import connected, make_room
from tests.clients.waiting import until
from tests.cluster import system
from tests.cluster.kubernetes import NAMESPACE, Refused, await_true, forwarded, kubectl, objects, pods
from tests.cluster.system import Edge
from tests.gateway.client import session
from tests.gateway.people import key
from tests.patient import AsyncPatient

pytestmark = pytest.mark.anyio


async def test_a_sleeping_function_wakes_to_sign_people_up_who_then_talk_over_two_gateways(untouched: Edge) -> None:
    await asyncio.to_thread(system.await_asleep)
    ada, grace = await sign_up(untouched.auth, 2)
    (address,) = untouched.gateways
    async with connected((ada, address), (grace, address)) as (hers, his):
        room = await make_room((hers, his), grace)
        await hers.send(room, "from the first")
        await his.send(room, "from the second")

        async def heard() -> bool:
            return hers.feeds[room].seq == his.feeds[room].seq == 2

        await until("both have heard both", heard, 30)
        page = await hers.rpc("message.list", {"room": room})
        assert [message["text"] for message in page["messages"]] == ["from the first", "from the second"]


async def test_sockets_are_spread_over_both_gateways_and_a_message_reaches_the_other_one(untouched: Edge) -> None:
    (ada,) = await sign_up(untouched.auth, 1)
    (address,) = untouched.gateways
    async with asyncio.timeout(60), session(address, ada.token) as (first, welcome):
        room = (await first.rpc("room.create", {"key": key(), "kind": "group", "name": "Both", "members": []}))["room"]
        while True:
            async with session(address, ada.token) as (second, other):
                if other["node"] == welcome["node"]:
                    continue
                await first.rpc("message.send", {"room": room, "key": key(), "text": "over there"})
                await second.until(lambda: [one for one in second.events(room) if one.get("text") == "over there"])
                break


async def test_keys_are_rotated_and_the_new_one_is_published_at_once(edge: Edge) -> None:
    """The last one must be an hour old, so it becomes that first. It signs at once under its new name, without the five
    minutes in which all get to know a new one: people come in again when the gateways' pods have it.
    """
    (old,) = _kids(edge)
    pem = _secret("signing-keys")[f"{old}.pem"]
    renamed = {"data": {f"{old}.pem": None, "20260101T000000Z.pem": pem}}
    kubectl("patch", "secret", "signing-keys", "--type=merge", f"--patch={json.dumps(renamed)}")
    kubectl("create", "job", "--from=cronjob/rotate-keys", "rotate-keys-now")
    await_true("two keys are published", lambda: len(_kids(edge)) == 2, 180, every=2)
    assert _kids(edge)[0] == "20260101T000000Z"
    assert _published("jwks.json") == _kids(edge)
    kubectl("delete", "job", "rotate-keys-now")
    ours = "--selector=app.kubernetes.io/name=gateway"
    kubectl("annotate", "pods", ours, "chattifier.test/keys=rotated", "--overwrite")  # the kubelet looks again at once
    for gateway in pods("gateway"):
        with forwarded(f"pod/{gateway}", 8001) as port:
            await _until_let_in(edge, f"ws://127.0.0.1:{port}/connection/websocket")


async def _until_let_in(edge: Edge, gateway: str) -> None:
    (ada,) = await sign_up(edge.auth, 1)
    await until(f"{gateway} knows the key", partial(closed_with, gateway, ada, None), 180, every=1)


def _kids(edge: Edge) -> list[str]:
    """What user-auth publishes: it has read the Secret."""
    answer = httpx.get(f"{edge.auth}/.well-known/jwks.json", timeout=90, trust_env=False)
    return [one["kid"] for one in answer.raise_for_status().json()["keys"]]


def _published(file: str) -> list[str]:
    """What edge and gateways read."""
    (data,) = (one["data"] for one in objects("configmaps") if one["metadata"]["name"] == "public-keys")
    return [one["kid"] for one in json.loads(data[file])["keys"]]


def _secret(name: str) -> dict[str, str]:
    (data,) = (one["data"] for one in objects("secrets") if one["metadata"]["name"] == name)
    return dict(data)


def test_the_public_half_of_the_key_of_services_is_what_gateways_verify_with(untouched: Edge) -> None:
    published = {f"{kid}.pem" for kid in _published("service-jwks.json")}
    assert published == _secret("service-keys").keys()


def test_to_apply_again_changes_nothing(untouched: Edge) -> None:
    """kubectl says "configured" of volume claims all the same: it compares them with what the apiserver has added."""
    before = _generations()
    assert kubectl("diff", "--kustomize", system.TOP) == ""
    changed = {line.split()[0] for line in system.apply() if not line.endswith(" unchanged")}
    assert changed <= {"statefulset.apps/cassandra", "statefulset.apps/pulsar"}
    assert _generations() == before
    assert system.unready() == []


def _generations() -> dict[str, int]:
    """Of what we have applied, not of what Knative makes of it, which its autoscaler changes at any time."""
    kinds = ("deployments", "statefulsets", "jobs", "services.serving.knative.dev", "networkpolicies")
    ours = (one["metadata"] | {"kind": one["kind"]} for one in objects(*kinds))
    return {f"{one['kind']} {one['name']}": one.get("generation", 0) for one in ours if "ownerReferences" not in one}


def test_the_jobs_may_run_again(untouched: Edge) -> None:
    jobs = [job["metadata"]["name"] for job in objects("jobs")]
    keys = {secret["metadata"]["name"]: secret["data"] for secret in objects("secrets")}
    kubectl("delete", "jobs", *jobs, "--wait")
    system.apply()
    system.await_ready()
    assert "unchanged" in kubectl("logs", f"job/{next(name for name in jobs if name.startswith('functions'))}")
    assert {secret["metadata"]["name"]: secret["data"] for secret in objects("secrets")} == keys


@pytest.mark.deletes_everything
async def test_to_delete_it_leaves_nothing_but_the_volumes_and_to_apply_it_again_finds_what_was_said(
    edge: Edge,
) -> None:
    """Then all is deleted, namespace and volumes too."""
    account = {"username": f"t{secrets.token_hex(10)}", "password": fresh_password()}
    await _post(edge, "/user/register", account)
    async with _device(edge, account) as ada:
        room = (await ada.call("room.create", kind="group", name="Kept", members=[]))["room"]
        await ada.call("message.send", room=room, text="from before")
    claims = {claim["metadata"]["name"] for claim in objects("persistentvolumeclaims")}
    assert claims
    _delete_all_but(claims)
    system.apply()
    system.await_ready()
    async with _device(system.edge(), account) as ada:
        page = await ada.call("message.list", room=room)
        assert [message["text"] for message in page["messages"]] == ["from before"]
    _delete_all_but(claims)  # or the namespace is looked at again when half of user-auth's time to end is over
    kubectl("delete", "--kustomize", system.TOP, "--ignore-not-found", "--wait", within=300)
    with pytest.raises(Refused, match="NotFound"):
        kubectl("get", "namespace", NAMESPACE)


def _delete_all_but(claims: set[str]) -> None:
    """Only these volumes are left."""
    kubectl("delete", "--kustomize", system.EVALUATION, "--wait", within=300)
    left = {("PersistentVolumeClaim", name) for name in claims}
    await_true("only the volumes are left", lambda: _left() == left, 120)


@asynccontextmanager
async def _device(edge: Edge, account: Mapping[str, str]) -> AsyncIterator[Device]:
    tokens = await _post(edge, "/user/login", account)
    async with Device.connected(Person(tokens["user_id"], tokens["access_token"]), *edge.gateways) as device:
        yield device


async def _post(edge: Edge, path: str, body: Mapping[str, str]) -> Mapping[str, Any]:
    async with httpx.AsyncClient(base_url=edge.auth, transport=AsyncPatient(), timeout=90) as http:
        answer: Mapping[str, Any] = (await http.post(path, json=body)).raise_for_status().json()
        return answer


def _left() -> set[tuple[str, str]]:
    """Everything that is in the namespace, but for what Kubernetes puts into each of them."""
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    found = objects(*(kind for kind in kinds if not kind.startswith(("events", "podmetrics", "leases"))))
    own = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
    return {(one["kind"], one["metadata"]["name"]) for one in found} - own

"""Every part of ours reaches stores that want TLS and a login, and says what is wrong where it may not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from chat_functions.redis_link import RedisLink, RedisUnavailable
from chat_functions.settings import Settings
from chat_functions.tables import Tables, TablesUnavailable
from chattifier.downloads import Cache
from chattifier.pulsar_admin import PulsarAdmin
from chattifier.topics import Admin
from socket_gateway.gateway import Gateway
from socket_gateway.settings import Settings as GatewaySettings
from tests.auth.function import running as auth_running
from tests.auth.people import PASSWORD, unique_name
from tests.secured.stores import Stores
from tests.stack.command import run

pytestmark = [pytest.mark.stack, pytest.mark.anyio, pytest.mark.timeout(func_only=True)]
QUERY = "SELECT room_id FROM rooms_by_id LIMIT 1"
READY_WITHIN = 30.0


def test_user_auth_signs_people_up_and_an_operator_s_command_signs_them_out(stores: Stores, tmp_path: Path) -> None:
    """Cassandra, Redis and Pulsar of both: a revocation is written, its copies are dropped, the gateways are told."""
    account = {"username": unique_name(), "password": PASSWORD}
    with auth_running(tmp_path / "auth", stores.environment) as function, function.client() as client:
        assert client.post("/user/register", json=account).status_code == httpx.codes.CREATED
        tokens = client.post("/user/login", json=account).json()
        done = run("user", "revoke", account["username"], environment=stores.environment)
        assert (done.code, done.err) == (0, "")
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert client.get("/user/me", headers=headers).status_code == httpx.codes.UNAUTHORIZED


async def test_a_gateway_is_ready_on_them(stores: Stores, tmp_path: Path) -> None:
    """With Redis and Pulsar."""
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": []}))
    environment = {**stores.environment, "CHATTIFIER_JWKS_FILE": str(tmp_path / "jwks.json")}
    gateway = Gateway(GatewaySettings.of(environment))
    running = asyncio.create_task(gateway.run())
    try:
        async with asyncio.timeout(READY_WITHIN):
            while not gateway.ready:  # noqa: ASYNC110 - readiness is a state, not an event
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await gateway.close()


async def test_functions_take_what_is_secret_from_the_environment_of_their_worker(stores: Stores) -> None:
    """Cassandra and Redis."""
    settings = Settings.read({"cassandra": stores.environment["CHATTIFIER_CASSANDRA"]}, stores.environment)
    tables = Tables(settings)
    async with asyncio.timeout(READY_WITHIN):
        await tables.connect([QUERY])
    assert await tables.read(QUERY, ()) == []
    await tables.close()
    link = RedisLink(settings.redis_url, ())
    assert await link.execute(lambda pipe, _: pipe.ping()) == [True]
    await link.close()
    assert "secret" not in repr(settings)
    assert stores.environment["CHATTIFIER_REDIS_URL"] not in repr(settings)


def test_the_command_reads_and_writes_settings_by_the_broker(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text("text_limit: 77")
    applied = run("config", "apply", str(tmp_path / "limits.yaml"), environment=stores.environment)
    assert (applied.code, applied.out) == (0, "limits: text_limit as started → 77\n"), applied.err
    assert json.loads(run("config", "show", "--json", environment=stores.environment).out)["limits"]["values"] == {
        "text_limit": 77
    }


def test_pulsar_s_own_tool_is_let_in_by_the_admin_api(stores: Stores) -> None:
    """What `chattifier deploy` makes functions with."""
    token = stores.environment["CHATTIFIER_PULSAR_TOKEN"]
    service_url = stores.environment["CHATTIFIER_PULSAR_URL"]
    distribution = Cache(Path("~/.cache/chattifier").expanduser()).pulsar
    PulsarAdmin(distribution, stores.admin_url, service_url, token, stores.authority.ca).run(["tenants", "get", "chat"])
    assert "chat" in Admin(stores.admin_url, token, stores.authority.ca).request("GET", "/admin/v2/tenants").json()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CHATTIFIER_CASSANDRA_PASSWORD", "wrong", "lets nobody in with this name and password"),
        ("CHATTIFIER_CASSANDRA_USERNAME", "", "lets nobody in with this name and password"),
        ("CHATTIFIER_CASSANDRA_CA_FILE", "", "cannot be reached"),
        ("CHATTIFIER_CASSANDRA_CA_FILE", "strange", "do not agree on TLS"),
    ],
)
def test_the_command_says_why_cassandra_lets_it_not_in(
    stores: Stores, strange: Path, variable: str, value: str, says: str
) -> None:
    """And never the password."""
    changed = {variable: str(strange) if value == "strange" else value}
    done = run("schema", "apply", environment={**stores.environment, **changed})
    assert done.code == 1
    assert says in done.err
    assert "wrong" not in done.err


def test_a_broker_that_strangers_vouch_for_is_not_believed(stores: Stores, strange: Path) -> None:
    done = run("config", "show", environment={**stores.environment, "CHATTIFIER_PULSAR_CA_FILE": str(strange)})
    assert done.code == 1
    assert "Pulsar at" in done.err
    assert stores.environment["CHATTIFIER_PULSAR_TOKEN"] not in done.out + done.err


async def test_functions_say_why_they_wait(stores: Stores, strange: Path) -> None:
    where = {"cassandra": stores.environment["CHATTIFIER_CASSANDRA"]}
    for changed, says in (
        ({"CHATTIFIER_CASSANDRA_PASSWORD": "wrong"}, "AuthenticationFailed"),
        ({"CHATTIFIER_CASSANDRA_CA_FILE": str(strange)}, "CERTIFICATE_VERIFY_FAILED"),
    ):
        tables = Tables(Settings.read(where, {**stores.environment, **changed}))
        with pytest.raises(TablesUnavailable, match=says):
            await asyncio.to_thread(tables._connect, [QUERY])
    link = RedisLink(stores.environment["CHATTIFIER_REDIS_URL"].replace(str(stores.authority.ca), str(strange)), ())
    with pytest.raises(RedisUnavailable):
        await link.execute(lambda pipe, _: pipe.ping())
    await link.close()


def test_a_file_of_authorities_that_is_not_there_is_told_of_by_name(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(ValidationError, match="cassandra_ca_file"):
        Settings.read({}, {"CHATTIFIER_CASSANDRA_CA_FILE": missing})
    with pytest.raises(ValueError, match="CHATTIFIER_PULSAR_CA_FILE"):
        GatewaySettings.of({"CHATTIFIER_JWKS_FILE": "x", "CHATTIFIER_PULSAR_CA_FILE": missing})

"""The three stores, each with TLS and a login."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import Popen
from urllib.parse import quote

import httpx
import jwt

from chattifier import processes
from chattifier.downloads import Cache
from chattifier.layout import Layout
from chattifier.parts.cassandra import cassandra
from chattifier.parts.part import Part
from chattifier.parts.pulsar import pulsar
from chattifier.parts.redis import server
from chattifier.ports import Ports, answers
from tests.running_stack import free_ports
from tests.secured.authority import Authority

STARTS_WITHIN = 300.0
"""Two JVMs, beside all that the machine does else."""
PASSWORD = "a password of the tests: / and @ are in it"
SECRET = "a secret of the tests that signs the tokens of Pulsar"


@dataclass(frozen=True)
class Stores:
    """Where they are, as the environment of our parts says it. `admin_url`: of Pulsar."""

    environment: Mapping[str, str] = field(repr=False)
    admin_url: str
    authority: Authority


@contextmanager
def running(folder: Path, authority: Authority, cache: Cache) -> Iterator[Stores]:
    """All three, started side by side."""
    layout = Layout(folder)
    layout.create()
    ports = Ports.plan(free_ports(), gateways=3)
    tls, tls_web, tls_redis = ports.gateways  # of which there are none
    token = jwt.encode({"sub": "admin"}, SECRET, algorithm="HS256")
    with ExitStack() as started:
        parts = [
            _secured_cassandra(cassandra(layout, ports, cache), layout, authority),
            _secured_pulsar(pulsar(layout, ports, cache), layout, authority, token, (tls, tls_web)),
        ]
        stores = [started.enter_context(_running(part.argv, part.env, part.cwd, part.log)) for part in parts]
        started.enter_context(_redis(ports.redis, layout, authority, tls_redis))
        _await("Cassandra listens", lambda: answers(ports.cassandra), stores[0], layout.log("cassandra"))
        admin_url = f"https://127.0.0.1:{tls_web}"
        _await("Pulsar answers", lambda: _is_there(admin_url, token, authority), stores[1], layout.log("pulsar"))
        redis_url = f"rediss://:{quote(PASSWORD, safe='')}@127.0.0.1:{tls_redis}/0?ssl_ca_certs={authority.ca}"
        yield Stores(
            {
                "CHATTIFIER_CASSANDRA": f"127.0.0.1:{ports.cassandra}",
                "CHATTIFIER_CASSANDRA_USERNAME": "cassandra",
                "CHATTIFIER_CASSANDRA_PASSWORD": "cassandra",
                "CHATTIFIER_CASSANDRA_CA_FILE": str(authority.ca),
                "CHATTIFIER_REDIS_URL": redis_url,
                "CHATTIFIER_PULSAR_URL": f"pulsar+ssl://127.0.0.1:{tls}",
                "CHATTIFIER_PULSAR_TOKEN": token,
                "CHATTIFIER_PULSAR_CA_FILE": str(authority.ca),
            },
            admin_url,
            authority,
        )


def _secured_cassandra(part: Part, layout: Layout, authority: Authority) -> Part:
    """Keys in PEM, as Cassandra reads them since 4.1; its first user is `cassandra`, with that password."""
    with (layout.part("cassandra") / "conf" / "cassandra.yaml").open("a") as config:
        config.write(f"""
authenticator: PasswordAuthenticator
client_encryption_options:
  enabled: true
  optional: false
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: {authority.both}
""")
    return part


def _secured_pulsar(part: Part, layout: Layout, authority: Authority, token: str, ports: tuple[int, int]) -> Part:
    """A broker that lets nobody in without a token; without a functions worker, which takes a minute of a core.

    It logs its settings when it starts: what is secret is in files.
    """
    conf = layout.part("pulsar") / "conf"
    (conf / "secret").write_text(SECRET)
    (conf / "token").write_text(token)
    settings = {
        "brokerServicePortTls": ports[0],
        "webServicePortTls": ports[1],
        "tlsCertificateFilePath": authority.certificate,
        "tlsKeyFilePath": authority.key,
        "tlsTrustCertsFilePath": authority.ca,
        "authenticationEnabled": "true",
        "authorizationEnabled": "true",
        "authenticationProviders": "org.apache.pulsar.broker.authentication.AuthenticationProviderToken",
        "tokenSecretKey": (conf / "secret").as_uri(),
        "superUserRoles": "admin",
        "brokerClientAuthenticationPlugin": "org.apache.pulsar.client.impl.auth.AuthenticationToken",
        "brokerClientAuthenticationParameters": (conf / "token").as_uri(),
    }
    path = conf / "standalone.conf"
    kept = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in settings]
    path.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in settings.items())]) + "\n")
    return replace(part, argv=(*part.argv, "--no-functions-worker"))


@contextmanager
def _redis(port: int, layout: Layout, authority: Authority, tls_port: int) -> Iterator[None]:
    """With a password; the TLS before it is ours, as the server of the tests was built without."""
    home = layout.part("redis")
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--requirepass", PASSWORD)
    with _running((str(server()), *options), processes.environment(), home, layout.log("redis")) as redis:
        _await("Redis listens", lambda: answers(port), redis, layout.log("redis"))
        with _tls_before(port, tls_port, authority):
            yield


@contextmanager
def _running(argv: tuple[str, ...], env: Mapping[str, str], cwd: Path, log: Path) -> Iterator[Popen[bytes]]:
    cwd.mkdir(parents=True, exist_ok=True)
    process = processes.start(argv, dict(env), cwd, log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _tls_before(port: int, tls_port: int, authority: Authority) -> Iterator[None]:
    """Pass on what comes over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    loop = asyncio.new_event_loop()
    serving = threading.Event()

    async def serve() -> None:
        async with await asyncio.start_server(_passing_on(port), "127.0.0.1", tls_port, ssl=context):
            serving.set()
            await stop.wait()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert serving.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def _passing_on(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer), closing(back):
            ways = [asyncio.create_task(_copied(reader, back)), asyncio.create_task(_copied(there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()

    return passed


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()


def _is_there(url: str, token: str, authority: Authority) -> bool:
    context = ssl.create_default_context(cafile=authority.ca)
    try:
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{url}/admin/v2/namespaces/public", headers=headers, verify=context, trust_env=False)
        return answer.is_success and "public/default" in answer.json()  # the last thing that it makes
    except httpx.TransportError:
        return False


def _await(what: str, condition: Callable[[], bool], process: Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while not condition():
        assert process.poll() is None, f"it ended: {what}\n{_last(log)}"
        assert time.monotonic() < deadline, f"waited in vain: {what}\n{_last(log)}"
        time.sleep(0.1)


def _last(log: Path) -> str:
    """What an error says of itself stands far before the end of what its shutdown says."""
    lines = log.read_text().splitlines()
    causes = [line for line in lines if line.startswith("Caused by:")]
    return "\n".join([*causes[-5:], *lines[-20:]])

"""Our own processes: the auth function on functions-framework, the socket gateways, and the web client's server."""

from __future__ import annotations

import sys
from pathlib import Path

from chattifier.errors import StackError
from chattifier.layout import Layout
from chattifier.parts.part import Part, ok
from chattifier.ports import HOST, Ports
from chattifier.processes import environment
from chattifier.schema import package_folder


def settings(layout: Layout, ports: Ports) -> dict[str, str]:
    """The environment that the entry points of auth and gateways read."""
    return {
        "CHATTIFIER_CASSANDRA": f"{HOST}:{ports.cassandra}",
        "CHATTIFIER_KEYSPACE": "chat",
        "CHATTIFIER_REDIS_URL": f"redis://{HOST}:{ports.redis}/0",
        "CHATTIFIER_PULSAR_URL": f"pulsar://{HOST}:{ports.pulsar}",
        "CHATTIFIER_JWKS_FILE": str(layout.jwks),
        "CHATTIFIER_ISSUER": "chattifier",
        "CHATTIFIER_AUDIENCE": "chattifier",
    }


def auth(layout: Layout, ports: Ports) -> Part:
    """The auth function. It alone gets the private keys."""
    main = package_folder("user_auth").parent / "main.py"
    if not main.exists():
        raise StackError(f"The auth function is not there: {main} is missing.")
    framework = Path(sys.executable).parent / "functions-framework"
    address = ("--host", HOST, "--port", str(ports.auth))
    return Part(
        name="auth",
        argv=(str(framework), "--source", str(main), "--target", "user_auth", *address),
        env=environment(
            **settings(layout, ports),
            CHATTIFIER_SIGNING_KEYS=str(layout.signing_keys),
            CHATTIFIER_ORIGINS=",".join((*web_origins(ports), *given_origins())),
            CHATTIFIER_ADDRESS_HEADER="X-Client-Address",
        ),
        cwd=layout.part("auth"),
        log=layout.log("auth"),
        ready=lambda: ok(f"http://{HOST}:{ports.auth}/.well-known/jwks.json"),
        listens=f"http://{HOST}:{ports.auth}",
        stop_within=15,
    )


def gateway(number: int, layout: Layout, ports: Ports) -> Part:
    """Gateway `number`, counted from 1."""
    service = {"CHATTIFIER_SERVICE_JWKS_FILE": str(layout.service_jwks)}
    name, port = f"gateway-{number}", ports.gateways[number - 1]
    return Part(
        name=name,
        argv=(sys.executable, "-m", "socket_gateway"),
        env=environment(**settings(layout, ports), **service, CHATTIFIER_HOST=HOST, CHATTIFIER_PORT=str(port)),
        cwd=layout.part(name),
        log=layout.log(name),
        ready=lambda: ok(f"http://{HOST}:{port}/readyz"),
        listens=f"ws://{HOST}:{port}/connection/websocket",
        stop_within=20,  # it spreads the closing of its sockets over a few seconds
    )


def web_origins(ports: Ports) -> tuple[str, ...]:
    """The origins of the web client where no edge is in front of it, however one spells this machine."""
    return f"http://{HOST}:{ports.web}", f"http://localhost:{ports.web}"


def given_origins() -> tuple[str, ...]:
    """Those of other pages, which whoever starts the stack may name in CHATTIFIER_ORIGINS."""
    return tuple(filter(None, environment().get("CHATTIFIER_ORIGINS", "").split(",")))


def web(layout: Layout, ports: Ports, *, behind_edge: bool) -> Part:
    """The web client: static files, and the addresses of auth and gateways, unless the edge has it all at one."""
    folder = package_folder("chattifier").parents[1] / "web"
    if not (folder / "index.html").exists():
        raise StackError(f"The web client is not there: {folder / 'index.html'} is missing.")
    address = f"http://{HOST}:{ports.web}"
    elsewhere = () if behind_edge else _elsewhere(ports)
    options = ("--folder", str(folder), "--port", str(ports.web), *elsewhere)
    return Part(
        name="web",
        argv=(sys.executable, "-m", "chattifier.web_server", *options),
        env=environment(),
        cwd=layout.part("web"),
        log=layout.log("web"),
        ready=lambda: ok(f"{address}/config.json"),
        listens=address,
        stop_within=5,
    )


def _elsewhere(ports: Ports) -> tuple[str, ...]:
    sockets = [word for port in ports.gateways for word in ("--socket", f"ws://{HOST}:{port}/connection/websocket")]
    return ("--auth", f"http://{HOST}:{ports.auth}", *sockets)

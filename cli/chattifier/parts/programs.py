"""Our own processes: the auth function on functions-framework, and the socket gateways."""

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
        env=environment(**settings(layout, ports), CHATTIFIER_SIGNING_KEYS=str(layout.signing_keys)),
        cwd=layout.part("auth"),
        log=layout.log("auth"),
        ready=lambda: ok(f"http://{HOST}:{ports.auth}/.well-known/jwks.json"),
        listens=f"http://{HOST}:{ports.auth}",
        stop_within=15,
    )


def gateway(number: int, layout: Layout, ports: Ports) -> Part:
    """Gateway `number`, counted from 1."""
    name, port = f"gateway-{number}", ports.gateways[number - 1]
    return Part(
        name=name,
        argv=(sys.executable, "-m", "socket_gateway"),
        env=environment(**settings(layout, ports), CHATTIFIER_HOST=HOST, CHATTIFIER_PORT=str(port)),
        cwd=layout.part(name),
        log=layout.log(name),
        ready=lambda: ok(f"http://{HOST}:{port}/readyz"),
        listens=f"ws://{HOST}:{port}/connection/websocket",
        stop_within=20,  # it spreads the closing of its sockets over a few seconds
    )

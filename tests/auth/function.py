"""user-auth as it really runs: a functions-framework process on a port of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chattifier import processes
from tests.running_stack import free_ports

MAIN = Path(__file__).parents[2] / "functions" / "user-auth" / "main.py"


@dataclass(frozen=True)
class Function:
    """A running user-auth: where it listens, where it logs, and the folder of its keys."""

    url: str
    log: Path
    keys: Path

    def client(self) -> httpx.Client:
        """A client that waits longer than any deadline of the function."""
        return httpx.Client(base_url=self.url, timeout=30)


@contextmanager
def running(folder: Path, environment: Mapping[str, str]) -> Iterator[Function]:
    """Start the function with this environment; it answers when the block begins and is gone when it ends."""
    keys, log, port = folder / "keys", folder / "log", free_port()
    keys.mkdir(parents=True)
    make_key(keys, "first")
    command = [sys.executable, "-m", "functions_framework", "--target", "user_auth", "--source", str(MAIN)]
    variables = processes.environment(CHATTIFIER_SIGNING_KEYS=str(keys), **environment)
    process = processes.start([*command, "--host", "127.0.0.1", "--port", str(port)], variables, folder, log)
    try:
        yield _ready(Function(f"http://127.0.0.1:{port}", log, keys), process)
    finally:
        process.terminate()
        process.wait(timeout=20)


def make_key(folder: Path, kid: str) -> Ed25519PrivateKey:
    """Put a new private key into the folder, whole or not at all, as a rotation must."""
    key = Ed25519PrivateKey.generate()
    new = folder / f"{kid}.new"
    new.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    new.rename(folder / f"{kid}.pem")
    return key


def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)


def _ready(function: Function, process: subprocess.Popen[bytes]) -> Function:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{function.url}/user/healthz").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return function
    raise AssertionError(f"user-auth did not start:\n{function.log.read_text()}")

"""Processes whose wall clock a test sets: `wrong_clock.c`, preloaded, reads from a file how far it is off.

Not libfaketime, which bends sleeps and waits as well: after a jump Python's sleep fails, and a gateway stands still.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx

from tests.clients.waiting import until
from tests.faults.conftest import unavailable
from tests.faults.functions import Functions
from tests.running_stack import Stack

HOUR = 3600
READY_WITHIN = 60.0


def _library(folder: Path) -> Path:
    """The library, compiled; skips the test where nothing compiles C."""
    if (compiler := shutil.which("cc")) is None:
        unavailable("a wrong clock is a few lines of C, and there is no compiler here: scripts/install-compiler")
    library, source = folder / "wrong_clock.so", Path(__file__).with_name("wrong_clock.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


class WrongClock:
    """One clock. Whoever has `environment` goes by it; of those, with `of`, only whose command line has that in it.

    `folder` is its own.
    """

    def __init__(self, folder: Path, of: str = "") -> None:
        self._file = folder / "off"
        self._file.write_bytes(bytes(8))
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(_library(folder)),
            "WRONG_CLOCK": str(self._file),
            "WRONG_CLOCK_OF": of,
        }

    def set(self, seconds: int) -> None:
        """So many seconds ahead (negative: behind) of the right time, from now on."""
        with self._file.open("r+b") as file:  # the same file: its processes have it mapped
            file.write(struct.pack("=q", seconds))

    def is_of(self, pid: int) -> bool:
        """Whether a process goes by it."""
        return str(self._file) in Path(f"/proc/{pid}/maps").read_text()


@asynccontextmanager
async def instance(stack: Stack, functions: Functions, function: str, clock: WrongClock) -> AsyncIterator[None]:
    """Instance 0 of a function goes by this clock."""
    python = stack.data / "pulsar" / "python" / "python3"
    ours = python.read_text()
    settings = " ".join(f"{name}={value}" for name, value in clock.environment.items())
    first = f'case "$*" in *"/{function}/"*"--instance_id 0 "*) export {settings};; esac'
    shell, _, rest = ours.partition("\n")
    try:
        _replace(python, f"{shell}\n{first}\n{rest}")
        await functions.kill(function, 0)
        await functions.until_all_consume(function)
        pid = (await functions.processes(function))[0]
        assert clock.is_of(pid), "it goes by the right clock"
        yield
    finally:
        _replace(python, ours)
        await functions.kill(function, 0)
        await functions.until_all_consume(function)


def _replace(program: Path, text: str) -> None:
    fresh = program.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(program)


@asynccontextmanager
async def twin(pid: int, old_port: int, port: int, ready: str, log: Path, clock: WrongClock) -> AsyncIterator[None]:
    """Another process like this one, on another port, by this clock. `ready`: the path that answers once it works."""
    address = f"http://127.0.0.1:{port}{ready}"
    with _process(pid, log, clock, {str(old_port): str(port)}) as process:
        async with httpx.AsyncClient(trust_env=False) as http:

            async def works() -> bool:
                assert process.poll() is None, f"it has ended: see {log}"
                try:
                    return (await http.get(address)).is_success
                except httpx.HTTPError:
                    return False

            await until(f"{address} answers", works, READY_WITHIN)
        yield


@contextmanager
def _process(pid: int, log: Path, clock: WrongClock, ports: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    given = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    environment = {name: ports.get(value, value) for name, value in given.items()} | dict(clock.environment)
    argv = [ports.get(word, word) for word in words]
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv,
            env=environment,
            cwd=Path(f"/proc/{pid}/cwd").readlink(),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)

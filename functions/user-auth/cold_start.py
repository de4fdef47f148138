"""Print how long a cold start of user-auth takes: `python functions/user-auth/cold_start.py [times]`.

Takes the environment that the function takes, so give it the stores of a running stack for the sign-in. Wall time says
what a user waits on this machine now; CPU time is what compares between machines and days.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

HERE = Path(__file__).parent
PORT = "18099"


def main(times: int) -> None:
    """One line a start."""
    # The first start writes the bytecode of everything, as an image ships it, and is not counted.
    for number in range(times + 1):
        line = start()
        print(line if number else f"{line} (compiles)")


def start() -> str:
    """Milliseconds until the process answers, and until it has refused a first sign-in with all its connections."""
    begun = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "functions_framework", "--target", "user_auth", "--source", str(HERE / "main.py")]
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", PORT], env=environment)
    try:
        while ask("/user/healthz") != 200:
            time.sleep(0.005)
        alive = (time.perf_counter() - begun, cpu(process.pid))
        status = ask("/user/login", b'{"username": "nobody", "password": "at all"}')
        signed = (time.perf_counter() - begun, cpu(process.pid))
        return f"alive {show(alive)}, first sign-in ({status}) {show(signed)}"
    finally:
        process.terminate()
        process.wait()


def ask(path: str, body: bytes | None = None) -> int:
    """The status of a request; 0 where nobody listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def cpu(pid: int) -> float:
    """Seconds of CPU of a process and its children."""
    parent = psutil.Process(pid)
    return sum(sum(process.cpu_times()[:2]) for process in (parent, *parent.children(recursive=True)))


def show(figures: tuple[float, float]) -> str:
    """Wall and CPU."""
    return f"{figures[0] * 1000:.0f} ms (CPU {figures[1] * 1000:.0f} ms)"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

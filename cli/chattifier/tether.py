"""Start a program that ends when its parent does, however that ends: `tether.py <parent pid> <program> <arguments...>`.

Run as a script, with the standard library only. It replaces itself with the program, so the pid stays.
Linux sends the signal when the *thread* that started the process ends: start it from the main thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, argv: list[str]) -> None:
    """Ask the kernel for SIGTERM at the parent's death, then become the program."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        sys.exit(1)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

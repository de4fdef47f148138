"""Start a program that ends when its parent does: `tether.py <parent pid> <slack> <program> <arguments...>`.

`slack` is how late (ns) its timers may be, so that the kernel can take several at once; 0 leaves the usual 50,000.

Run as a script, with the standard library only. It replaces itself with the program, so the pid stays.
Linux sends the signal when the *thread* that started the process ends: start it from the main thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29


def main(parent: int, slack: int, argv: list[str]) -> None:
    """Ask the kernel for SIGTERM at the parent's death and for that slack, then become the program."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(slack), 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        sys.exit(1)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])

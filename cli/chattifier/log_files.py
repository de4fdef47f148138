"""Reading log files: the line that says why a part ended, and following them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

TAIL = 64 * 1024
ALARMING = re.compile(r"\b(error|fatal|exception|failed|cannot|can't|unable|refused|in use)\b|Error:", re.IGNORECASE)
FRAME = re.compile(r"^(\s+at |\s+File |Traceback |\s*\.\.\. \d+ )")


def last_meaningful(path: Path) -> str:
    """The last line that sounds like a cause, else the last line at all; at most 300 characters."""
    lines = [line.strip() for line in _tail(path) if line.strip() and not FRAME.match(line)]
    alarming = [line for line in lines[-40:] if ALARMING.search(line)]
    chosen = (alarming or lines or ["it wrote nothing"])[-1]
    return chosen if len(chosen) <= 300 else chosen[:299] + "…"


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            return file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a file, none if there is no file."""
    return _tail(path)[-count:]


def follow(paths: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Yield (name, line) of what is appended to the files, for ever. Files may appear later, or start anew."""
    positions = {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}
    while True:
        for name, path in paths.items():
            if path.exists():
                positions[name], lines = _read_from(path, positions[name])
                yield from ((name, line) for line in lines)
        time.sleep(0.2)


def _read_from(path: Path, position: int) -> tuple[int, list[str]]:
    """The whole lines after a position, and the position after them."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(position if size >= position else 0)
        data = file.read()
        whole = data.rpartition(b"\n")[0]
        return file.tell() - len(data) + len(whole) + bool(whole), whole.decode(errors="replace").splitlines()

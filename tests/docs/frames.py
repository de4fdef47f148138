"""The frames on a page: what is sent and what is to be received, with names for values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

BLOCK = re.compile(r"^```frames\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(?P<who>\w+)(?P<way>[<>]) (?P<frame>.*)$")
NAME = re.compile(r"<[^<>]+>")
ANYTHING = "…"
Json = Any


@dataclass(frozen=True)
class Step:
    """One line of a page: `who` sends (`>`) or gets (`<`) `frame`; None: who closes its socket."""

    who: str
    way: Literal[">", "<"]
    frame: Json
    text: str


def steps(page: Path) -> list[Step]:
    """All frames of a page, in order. Raises ValueError for a line that is none."""
    found = []
    for block in BLOCK.findall(page.read_text()):
        for line in block.splitlines():
            match = LINE.match(line)
            if match is None:
                raise ValueError(f"not a frame: {line}")
            text = match["frame"]
            way: Literal[">", "<"] = ">" if match["way"] == ">" else "<"
            found.append(Step(match["who"], way, None if text == "close" else json.loads(text), line))
    return found


def filled(frame: Json, names: Mapping[str, Json]) -> Json:
    """The frame with its names replaced. Raises KeyError for a name that has no value."""
    match frame:
        case dict():
            return {_filled_text(key, names): filled(value, names) for key, value in frame.items()}
        case list():
            return [filled(value, names) for value in frame]
        case str():
            return _filled_text(frame, names)
        case _:
            return frame


def _filled_text(text: str, names: Mapping[str, Json]) -> Json:
    if NAME.fullmatch(text):
        return names[text]
    return NAME.sub(lambda match: str(names[match[0]]), text)


def matched(pattern: Json, frame: Json, names: Mapping[str, Json]) -> dict[str, Json] | None:
    """The values of the names that the pattern adds, if the frame fits it, else None."""
    found = dict(names)
    return found if _fits(pattern, frame, found) else None


def _fits(pattern: Json, frame: Json, names: dict[str, Json]) -> bool:
    match pattern:
        case dict():
            return isinstance(frame, dict) and _fits_object(pattern, frame, names)
        case list():
            pairs = zip(pattern, frame, strict=False) if isinstance(frame, list) else ()
            return isinstance(frame, list) and len(pattern) == len(frame) and all(_fits(p, f, names) for p, f in pairs)
        case str():
            return _fits_text(pattern, frame, names)
        case _:
            return type(pattern) is type(frame) and bool(pattern == frame)


def _fits_object(pattern: dict[str, Json], frame: dict[str, Json], names: dict[str, Json]) -> bool:
    """Keys that are not in the pattern must not be in the frame, unless it says that there may be more."""
    wanted = {filled(key, names): value for key, value in pattern.items() if key != ANYTHING}
    more = frame.keys() - wanted.keys()
    fits = all(key in frame and _fits(value, frame[key], names) for key, value in wanted.items())
    return fits and (not more or ANYTHING in pattern)


def _fits_text(pattern: str, frame: Json, names: dict[str, Json]) -> bool:
    if pattern == ANYTHING:
        return True
    if NAME.fullmatch(pattern):
        return bool(names.setdefault(pattern, frame) == frame)
    parts = re.split(f"({NAME.pattern})", pattern)
    if len(parts) == 1:
        return bool(pattern == frame)
    return isinstance(frame, str) and _fits_parts(parts, frame, names)


def _fits_parts(parts: list[str], text: str, names: dict[str, Json]) -> bool:
    """`room:<room>`: a text with names in it, known or new."""
    groups = [part for part in parts if NAME.fullmatch(part)]
    regex = "".join("(.+)" if NAME.fullmatch(part) else re.escape(part) for part in parts)
    match = re.fullmatch(regex, text)
    if match is None:
        return False
    return all(names.setdefault(name, value) == value for name, value in zip(groups, match.groups(), strict=True))

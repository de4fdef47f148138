"""Files of settings: one a group, named after it, with names and values in YAML. All are good, or none is taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import JsonValue

from chattifier.errors import ConfigRefused
from pulsar_data import config
from pulsar_data.config import GROUPS, SettingError

SUFFIXES = (".yaml", ".yml")
LARGEST = 64 * 1024
"""Bytes of a file; all settings of a group with their comments are 3 KB."""


@dataclass(frozen=True)
class Wanted:
    """What files say: the values of each group, and which file said so."""

    values: Mapping[str, dict[str, JsonValue]]
    files: Mapping[str, str]
    whole: bool
    """Whether these are all the settings that there should be: a group without a file goes back to what it was."""


def parse(files: Mapping[str, bytes], *, whole: bool) -> Wanted:
    """Contents by name of file. Raises ConfigRefused that says everything that is wrong with them."""
    found: list[tuple[str, str, dict[str, JsonValue]]] = []
    problems: list[tuple[str, str]] = []
    for file, content in files.items():
        group = Path(file).stem
        try:
            if group in {other for _, other, _ in found}:
                raise SettingError(f"there is another file of the group {group}")
            found.append((file, group, config.check(group, _values(content))))
        except SettingError as error:
            problems.append((file, str(error)))
    if problems:
        raise ConfigRefused(problems)
    return Wanted(
        values={group: values for _, group, values in found},
        files={group: file for file, group, _ in found},
        whole=whole,
    )


def read(paths: Sequence[Path]) -> Wanted:
    """Files, or folders of them: with a folder it is the whole. Raises ConfigRefused."""
    files = {str(path): _bytes(path) for given in paths for path in _files(given)}
    return parse(files, whole=any(path.is_dir() for path in paths))


def chosen(names: Iterable[str], place: str) -> list[str]:
    """Those of a folder that are files of settings, by name. Raises ConfigRefused if there is none."""
    wanted = sorted(name for name in names if Path(name).suffix in SUFFIXES)
    if not wanted:
        raise ConfigRefused([(place, f"there are no settings: no {', '.join(f'{group}.yaml' for group in GROUPS)}")])
    return wanted


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (path / name for name in chosen((one.name for one in path.iterdir() if one.is_file()), str(path)))
    else:
        yield path


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigRefused([(str(path), f"it cannot be read: {error.strerror}")]) from error


def _values(content: bytes) -> object:
    """Names and values. Raises SettingError."""
    if len(content) > LARGEST:
        raise SettingError(f"it is larger than {LARGEST // 1024} KiB")
    try:
        text = content.decode()
        node = yaml.compose(text, yaml.SafeLoader)
        values = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise SettingError("it is not UTF-8") from error
    except yaml.YAMLError as error:
        raise SettingError(f"it is not YAML: {_first_line(error)}") from error
    except (ValueError, RecursionError) as error:  # such as a date that is none
        raise SettingError("it is not YAML with names and values") from error
    if isinstance(node, yaml.MappingNode):
        _check_once(node)
    return {} if values is None else values


def _check_once(node: yaml.MappingNode) -> None:
    """YAML would take the last of two."""
    names = [str(name.value) for name, _ in node.value]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingError(f"{twice[:60]} is there twice")


def _first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or type(error).__name__).splitlines()[0]
    return f"{problem} in line {mark.line + 1}" if mark is not None else problem

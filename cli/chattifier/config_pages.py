"""What docs/settings.md and k8s/config/ say of the settings, made of the models: name, default, bounds, meaning."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from pulsar_data.config import GROUPS, allowed
from pulsar_data.model import Model

WIDTH = 118
BEGIN, END = "<!-- settings -->\n", "<!-- end of settings -->\n"
"""Between them is what is made; the rest of the page is written by hand."""


def page(written: str) -> str:
    """The page with its tables made anew."""
    before, _, rest = written.partition(BEGIN)
    return before + BEGIN + "".join(map(_table, GROUPS)) + "\n" + END + rest.partition(END)[2]


def file(group: str) -> str:
    """A group's file with all the defaults."""
    kind = GROUPS[group]
    intro = f"{_doc(kind)} In force everywhere within seconds; see docs/settings.md."
    lines = [*_comment(intro)]
    for name, default, bounds, meaning in _settings(kind):
        lines += ["", *_comment(f"{meaning} {bounds[0].upper()}{bounds[1:]}."), f"{name}: {default}"]
    return "\n".join(lines) + "\n"


def _table(group: str) -> str:
    kind = GROUPS[group]
    rows = "".join(
        f"| `{name}` | {default} | {bounds} | {meaning} |\n" for name, default, bounds, meaning in _settings(kind)
    )
    return f"\n### `{group}`\n\n{_doc(kind)}\n\n| name | default | takes | meaning |\n|---|---|---|---|\n{rows}"


def _settings(kind: type[Model]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in kind.model_fields.items():
        yield name, json.dumps(field.default), allowed(kind, name), str(field.description)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _doc(kind: type[Model]) -> str:
    return " ".join(str(kind.__doc__).split())

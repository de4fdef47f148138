"""Which metrics an expression of PromQL asks for, with the labels that it needs of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORDS = frozenset(
    {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"}
)
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?(\s*\()?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"([^"]*)"')


@dataclass(frozen=True)
class Selector:
    """One metric in an expression, and the conditions on its labels as (label, operator, value)."""

    name: str
    conditions: tuple[tuple[str, str, str], ...]


def selectors(expression: str) -> Iterator[Selector]:
    """All metrics of an expression. Function names are followed by a bracket, words of the language are known."""
    plain = re.sub(r"\[[^\]]*\]", "", _GROUPING.sub("", expression))
    for name, conditions, bracket in _SELECTOR.findall(plain):
        if not bracket and name not in _WORDS:
            yield Selector(name, tuple(_LABEL.findall(conditions)))


def grouped_by(expression: str) -> set[str]:
    """The labels that an expression groups by."""
    return {label.strip() for found in _GROUPING.findall(expression) for label in found.split(",") if label.strip()}

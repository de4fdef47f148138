"""The schema of `events` as it is registered at the broker, so that a producer of anything else is refused.

Pulsar describes JSON by an Avro record, and compares records when a producer connects: it never looks into a message.
All types of events are one record; what only some of them have may be missing. So a type, or a field that may be
missing, can be added at any time, and nothing can be renamed or taken away.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import JsonValue

from pulsar_data.events import LOG_ENTRY

_ALWAYS: Final = ("type", "room", "epoch", "time")
_AVRO: Final = {"string": "string", "integer": "long", "boolean": "boolean"}
_FREE: Final[JsonValue] = {"type": "record", "name": "Free", "doc": "JSON that nobody here looks into", "fields": []}


def definition() -> dict[str, JsonValue]:
    """The Avro record."""
    properties: dict[str, Any] = {}
    for model in LOG_ENTRY.json_schema()["$defs"].values():
        for name, schema in model.get("properties", {}).items():
            properties.setdefault(name, schema)
    always: list[JsonValue] = [{"name": name, "type": _type(properties.pop(name))} for name in _ALWAYS]
    sometimes: list[JsonValue] = [
        {"name": name, "type": ["null", _type(schema)], "default": None} for name, schema in sorted(properties.items())
    ]
    return {"type": "record", "name": "Event", "namespace": "chat", "fields": always + sometimes}


def _type(schema: dict[str, Any]) -> JsonValue:
    """The Avro type of a property. What may be null in it is so by its place in the record."""
    some: list[dict[str, Any]] = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    kind = some[0]["type"]
    if kind == "array":
        return {"type": "array", "items": _type(some[0]["items"])}
    return _FREE if kind == "object" else _AVRO[kind]

"""docs/asyncapi.yaml as a judge of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
Json = dict[str, Any]


def document() -> Json:
    """The document in docs/."""
    loaded: Json = yaml.safe_load(DOCUMENT.read_text())
    return loaded


class Contract:
    """Says what is wrong with a frame, or nothing."""

    def __init__(self, document: Json) -> None:
        self._components = document["components"]
        self._pushes = [one["messages"][0] for one in document["operations"].values() if one["action"] == "send"]
        self._judges: dict[str, jsonschema_rs.Validator] = {}

    def command(self, frame: Json) -> list[str]:
        """Faults of what a client sends."""
        name = next(key for key in frame if key != "id")
        return self._faults(frame["rpc"]["method"] if name == "rpc" else name, frame)

    def answer(self, command: Json, frame: Json) -> list[str]:
        """Faults of the answer to a command."""
        if "error" in frame:
            return self._faults("error", frame)
        name = next(key for key in command if key != "id")
        return self._faults(f"{command['rpc']['method'] if name == 'rpc' else name}_result", frame)

    def push(self, frame: Json) -> list[str]:
        """Faults of what is pushed: none if it is any of the documented pushes."""
        names = [one["$ref"].rpartition("/")[2] for one in self._pushes]
        faults = [self._faults(name, frame) for name in names]
        return [] if any(not one for one in faults) else [fault for one in faults for fault in one]

    def _faults(self, message: str, frame: Json) -> list[str]:
        if message not in self._judges:
            schema = {"$ref": f"#/components/messages/{_escaped(message)}/payload", "components": self._components}
            self._judges[message] = jsonschema_rs.validator_for(schema)
        judge = self._judges[message]
        return [f"{message}: {error.message[:300]} at {error.instance_path}" for error in judge.iter_errors(frame)]


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

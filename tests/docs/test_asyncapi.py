"""docs/asyncapi.yaml: made of the code, whole, and valid."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulsar_data.errors import Disconnect, ErrorCode
from pulsar_data.results import RESULTS
from pulsar_data.rpc import METHODS
from socket_gateway import asyncapi, protocol

from .contract import DOCUMENT, document

JS = Path(__file__).parent / "js"


def test_the_document_in_docs_is_the_one_of_the_code() -> None:
    """If not: `.venv/bin/python socket-gateway/write_asyncapi.py`."""
    assert document() == json.loads(json.dumps(asyncapi.document()))


def test_every_method_request_error_and_close_code_is_in_it() -> None:
    written = document()
    offered = {name for name, kind in protocol.REQUESTS.items() if kind is not protocol.OtherRequest and name != "rpc"}
    assert set(METHODS) == set(RESULTS)
    assert set(METHODS) | offered <= set(written["operations"])
    assert set(written["x-error-codes"].values()) == {int(code) for code in ErrorCode}
    assert set(written["x-close-codes"]) == {str(close.code) for close in Disconnect}


def test_every_reference_in_it_leads_somewhere() -> None:
    written = document()
    references = set(_references(written))
    assert len(references) > 50
    for reference in references:
        found: Any = written
        for step in reference.removeprefix("#/").split("/"):
            assert step in found, reference
            found = found[step]


def test_the_asyncapi_parser_takes_it() -> None:
    """The official parser, where Node and npm are."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node and npm are not installed: the document is checked for structure only")
    cache = Path(os.environ.get("CHATTIFIER_CACHE", Path.home() / ".cache" / "chattifier")) / "asyncapi-parser"
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "parse.mjs"):
        shutil.copyfile(JS / name, cache / name)
    if not (cache / "node_modules" / "@asyncapi" / "parser").exists():
        subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"], cwd=cache, check=True, capture_output=True, timeout=170
        )
    parse = ["node", "parse.mjs", str(DOCUMENT)]
    done = subprocess.run(parse, cwd=cache, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "valid"), done.stdout + done.stderr


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)

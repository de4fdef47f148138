"""The OpenAPI document: true, published, and the same in docs/."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from openapi_spec_validator.readers import read_from_filename

from tests.log_lines import tells_of_a_defect
from user_auth import app, openapi
from user_auth.settings import Settings

from .function import Function

SERVER_ERROR = "not_a_server_error"
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"


def generated() -> dict[str, Any]:
    """The document of the code, through JSON as a client gets it."""
    document: dict[str, Any] = json.loads(json.dumps(openapi.document(app.router(Settings()).endpoints)))
    return document


def test_the_document_in_docs_is_the_one_of_the_code() -> None:
    """If not: `python functions/user-auth/write_openapi.py`."""
    written, _ = read_from_filename(str(DOCUMENT))
    assert dict(written) == generated()


def test_the_document_is_valid_openapi() -> None:
    document = generated()
    validate(document)
    assert set(document["paths"]) >= {"/user/register", "/user/login", "/.well-known/jwks.json"}


@pytest.mark.stack
def test_the_function_serves_the_document(client: httpx.Client) -> None:
    assert client.get("/user/openapi.json").json() == generated()


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_every_answer_to_generated_requests_is_documented(function: Function, tmp_path: Path) -> None:
    """No status, header or body that it does not have, and so no 500. Schemathesis' own runner, seeded.

    It has the 503, which only a store that is slow for a moment may be the cause of.
    """
    begin = function.log.stat().st_size
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        "--no-color",
        "run",
        f"{function.url}/user/openapi.json",
    ]
    run = subprocess.run(
        [*command, "--seed", "1", "--max-examples", "10", "--continue-on-failure", "--exclude-checks", SERVER_ERROR],
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": f"{__package__}.visitor",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for line in function.log.read_bytes()[begin:].splitlines():
        assert not tells_of_a_defect(line), line[:1000]
    assert " 0 generated" not in run.stdout and "passed" in run.stdout

"""The OpenAPI document: true, published, and the same in docs/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from openapi_spec_validator.readers import read_from_filename

from user_auth import app, openapi
from user_auth.settings import Settings

from .function import Function
from .people import sign_up

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def api(function: Function) -> Any:
    """The document that the running function serves."""
    return schemathesis.openapi.from_url(f"{function.url}/user/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


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
@pytest.mark.timeout(600)
@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_to_generated_requests_is_documented(case: schemathesis.Case, function: Function) -> None:
    """No 5xx, no status, header or body that the document does not have; each request with a session of its own."""
    with function.client() as client:
        case.headers = {**(case.headers or {}), **sign_up(client).login().headers}
    case.call_and_validate()

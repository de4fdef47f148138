"""The stack's gateways, and people to use them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.patient import Patient

from .people import Person, Signer, sign_in, sign_up

ENOUGH = 300.0
"""Seconds that a token must be good for yet: longer than any test takes."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The gateway is an asyncio program."""
    return "asyncio"


@pytest.fixture(scope="session")
def acquaintances(stack: Any) -> list[Person]:
    """Three people, as they signed in last."""
    return [sign_up(stack.auth) for _ in range(3)]


@pytest.fixture
def people(stack: Any, acquaintances: list[Person]) -> tuple[Person, Person, Person]:
    """Three people; tests keep apart by rooms of their own. A run lasts longer than a token, so they sign in again."""
    with httpx.Client(base_url=stack.auth, transport=Patient(), timeout=30) as http:
        for number, person in enumerate(acquaintances):
            if person.claims["exp"] < time.time() + ENOUGH:
                acquaintances[number] = sign_in(http, person.name, person.password)
    ada, grace, mallory = acquaintances
    return ada, grace, mallory


@pytest.fixture(scope="session")
def signer(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """A key that gateways of the tests' own accept besides the stack's."""
    return Signer(stack.auth, tmp_path_factory.mktemp("keys") / "jwks.json")


@pytest.fixture(scope="session")
def jwks(signer: Signer) -> Path:
    """The key file for gateways of the tests' own."""
    return signer.path

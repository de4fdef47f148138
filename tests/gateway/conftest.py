"""The stack's gateways, and people to use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .people import Person, Signer, sign_up


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The gateway is an asyncio program."""
    return "asyncio"


@pytest.fixture(scope="session")
def people(stack: Any) -> tuple[Person, Person, Person]:
    """Three people; tests keep apart by rooms of their own."""
    return sign_up(stack.auth), sign_up(stack.auth), sign_up(stack.auth)


@pytest.fixture(scope="session")
def signer(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """A key that gateways of the tests' own accept besides the stack's."""
    return Signer(stack.auth, tmp_path_factory.mktemp("keys") / "jwks.json")


@pytest.fixture(scope="session")
def jwks(signer: Signer) -> Path:
    """The key file for gateways of the tests' own."""
    return signer.path

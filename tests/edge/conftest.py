"""Whoever comes to the edge."""

from __future__ import annotations

import random
from collections.abc import Iterator

import httpx
import pytest

from tests.running_stack import Stack

ORIGIN = "https://evil.example.org"


@pytest.fixture
def anyio_backend() -> str:
    """Clients run on asyncio."""
    return "asyncio"


@pytest.fixture
def visitor(stack: Stack) -> Iterator[httpx.Client]:
    """A client with an address of its own, as the edge counts addresses."""
    with visit(stack) as client:
        yield client


def visit(stack: Stack) -> httpx.Client:
    """Another one."""
    address = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
    return httpx.Client(
        base_url=stack.edge, transport=httpx.HTTPTransport(local_address=address), timeout=30, trust_env=False
    )

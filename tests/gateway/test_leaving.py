"""A gateway that is told to leave: it ends by itself, and nothing of it goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.separate import separate

pytestmark = pytest.mark.anyio
AT_ONCE = 3
"""What they share out are races of threads: the more, the likelier to be met."""
ROUNDS = 4


async def test_a_gateway_ends_with_0_and_a_last_event(stack: Any, jwks: Path) -> None:
    async def comes_and_goes() -> tuple[int, str]:
        async with separate(stack, jwks) as gateway:
            code = await gateway.stopped()
            return code, gateway.log.read_text().splitlines()[-1]

    for _ in range(ROUNDS):
        for code, last in await asyncio.gather(*(comes_and_goes() for _ in range(AT_ONCE))):
            assert code == 0
            assert json.loads(last)["event"] == "gateway_stopped"

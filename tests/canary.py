"""What must never be in a log: helpers of all tests put it into what they keep secret, and tests/logs looks for it."""

from __future__ import annotations

import secrets
from typing import Final

CANARY: Final = "canary-of-the-tests"
SHORT: Final = 12
"""Texts of fewer characters may be in a log by chance."""


def fresh_password() -> str:
    """A password that nobody else has."""
    return f"{CANARY}-{secrets.token_urlsafe(18)}"

"""What user-auth tells the gateways of an account. Topic `sessions`, keyed by user; every gateway reads all of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from pulsar_data.news import ProfileChanged
from pulsar_data.tokens import SessionsRevoked

AccountEvent = SessionsRevoked | ProfileChanged
ACCOUNT_EVENT: TypeAdapter[AccountEvent] = TypeAdapter(Annotated[AccountEvent, Field(discriminator="type")])
"""ACCOUNT_EVENT.validate_json(bytes): the only way in. Raises pydantic.ValidationError."""

"""What every message between parts is built on: frozen, strict, and closed to fields it does not know."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, NewType, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _canonical_uuid(value: str) -> str:
    """Lower-case hyphenated form; anything UUID() reads but that is not a plain UUID string is refused."""
    if len(value) != 36:
        raise ValueError("must be a UUID of 36 characters")
    return str(uuid.UUID(value))


RoomId = NewType("RoomId", str)
UserId = NewType("UserId", str)

Room = Annotated[RoomId, AfterValidator(_canonical_uuid)]
User = Annotated[UserId, AfterValidator(_canonical_uuid)]
Uuid = Annotated[str, AfterValidator(_canonical_uuid)]
Milliseconds = Annotated[int, Field(ge=0, lt=2**53)]
"""Since the epoch, UTC."""
Counter = Annotated[int, Field(ge=0, lt=2**53)]
"""An offset, seq or epoch: JavaScript clients hold it exactly."""


class Model(BaseModel):
    """A message: immutable; an unknown field or a value of another JSON type is a ValidationError, never a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def to_json(self) -> bytes:
        """UTF-8 JSON. Fields that are None are left out; nulls inside free JSON (`meta`) stay."""
        return self.model_dump_json(exclude_none=True).encode()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as in to_json."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Raises pydantic.ValidationError."""
        return cls.model_validate_json(data)


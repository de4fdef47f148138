"""What every message between parts is built on: frozen, strict, and closed to fields it does not know."""

from __future__ import annotations

from typing import Annotated, Any, NewType, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_UUID = StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", to_lower=True)
"""The hyphenated form, made lower case: one id has one spelling. Checked outside of Python, for speed."""

RoomId = NewType("RoomId", str)
UserId = NewType("UserId", str)

Room = Annotated[RoomId, _UUID]
User = Annotated[UserId, _UUID]
Uuid = Annotated[str, _UUID]
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


class Evolving(Model):
    """A message that parts of an older version must be able to read: fields that are new are left aside."""

    model_config = ConfigDict(extra="ignore")

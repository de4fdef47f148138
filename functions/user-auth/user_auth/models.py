"""Bodies of requests and answers. The OpenAPI document is made of these."""

from __future__ import annotations

from typing import Annotated, Any, Final
from unicodedata import category

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from user_auth import passwords, usernames

UNSEEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})
JOINERS: Final = "\u200c\u200d"
"""Some scripts, and emoji of several, are not written without them."""


def _username(typed: str) -> str:
    name = usernames.normalise(typed)
    if name is None:
        raise PydanticCustomError("username_invalid", "3 to 32 of a-z, 0-9, dot, underscore, hyphen")
    return name


def _password(typed: str) -> str:
    password = passwords.normalise(typed)
    if fault := passwords.fault(password):
        raise PydanticCustomError(fault, "8 to 128 characters, and not one of the most used passwords")
    return password


def _shown_as_typed(name: str) -> str:
    """Without what is not seen, or turns what is around it: controls, line breaks, marks of direction."""
    if any(category(one) in UNSEEN and one not in JOINERS for one in name):
        raise PydanticCustomError("display_name_invalid", "no control characters, line breaks or marks of direction")
    return name


def _no_default(schema: dict[str, Any]) -> None:
    """A field left out means 'as it is': the document must not promise a default."""
    schema.pop("default", None)


NewUsername = Annotated[
    str,
    AfterValidator(_username),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[A-Za-z0-9._-]{3,32}$",
            "description": "One spelling each: NFKC, case-folded, so `Ada` and `ada` are one name.",
        }
    ),
]
NewPassword = Annotated[
    str,
    AfterValidator(_password),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "minLength": 8,
            "maxLength": 128,
            "description": "Any characters (NFC), but none of the most used passwords.",
        }
    ),
]
Secret = Annotated[str, Field(json_schema_extra={"format": "password"})]
DisplayName = Annotated[str, Field(max_length=100), AfterValidator(_shown_as_typed)]
Bio = Annotated[str, Field(max_length=1000)]
Device = Annotated[str, Field(max_length=100)]


class _Body(BaseModel):
    """`hide_input_in_errors`: what a client typed stays out of every message, whoever prints it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Registration(_Body):
    """A new account."""

    username: NewUsername
    password: NewPassword
    display_name: DisplayName = ""


class Credentials(_Body):
    """A sign-in. `device` is what the user calls this session."""

    username: str
    password: Secret
    device: Device = ""


class Erasure(_Body):
    """The password proves that it is the owner who asks."""

    password: Secret


class Refresh(_Body):
    """The refresh token last given for this session; each is good once."""

    refresh_token: Secret


class PasswordChange(_Body):
    """`old` proves that it is the owner who asks."""

    old: Secret
    new: NewPassword


class ProfileChange(_Body):
    """Fields that are left out stay as they are; an empty text clears."""

    display_name: DisplayName = Field(default="", json_schema_extra=_no_default)
    bio: Bio = Field(default="", json_schema_extra=_no_default)


class Registered(_Body):
    """`username` in its one spelling."""

    user_id: str
    username: str


class Tokens(_Body):
    """`expires_in`: seconds until the access token expires."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"
    expires_in: int
    user_id: str


class Me(_Body):
    """One's own profile. `created_at` in ms since the epoch."""

    user_id: str
    username: str
    display_name: str
    bio: str
    created_at: int


class SessionInfo(_Body):
    """A sign-in on one device. Times in ms since the epoch; `current`: the one that asks."""

    session_id: str
    device: str
    created_at: int
    used_at: int
    expires_at: int
    current: bool


class SessionList(_Body):
    """The sessions last used first, 200 at most; `more`: there are others, used longer ago."""

    sessions: tuple[SessionInfo, ...]
    more: bool


class Alive(_Body):
    """The process answers. Says nothing of its stores."""

    status: str = "alive"


class PublicKey(_Body):
    """An Ed25519 public key (RFC 8037)."""

    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str


class KeySet(_Body):
    """All keys whose signatures are good now (RFC 7517)."""

    keys: tuple[PublicKey, ...]

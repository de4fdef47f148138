"""The RPC methods: what a client may send as `rpc {method, data}`, and the command or query each one becomes.

The gateway knows no chat rule: it finds the method here, validates the data, and publishes what `build` returns.
"""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from pulsar_data import ids, params
from pulsar_data.commands import Command
from pulsar_data.errors import ChatError, ErrorCode
from pulsar_data.params import Caller, Params
from pulsar_data.queries import Query

__all__ = ["METHODS", "Caller", "build"]

METHODS: Final[dict[str, type[Params]]] = {
    "message.send": params.SendParams,
    "message.edit": params.EditParams,
    "message.delete": params.DeleteParams,
    "message.list": params.MessagesParams,
    "message.search": params.SearchParams,
    "message.read": params.ReadParams,
    "reaction.add": params.ReactParams,
    "reaction.remove": params.UnreactParams,
    "room.create": params.CreateParams,
    "room.list": params.RoomsParams,
    "room.get": params.RoomParams,
    "room.update": params.UpdateParams,
    "room.join": params.JoinParams,
    "room.leave": params.LeaveParams,
    "member.list": params.MembersParams,
    "member.add": params.AddParams,
    "member.remove": params.RemoveParams,
    "member.role": params.RoleParams,
    "member.mute": params.MuteParams,
    "member.ban": params.BanParams,
    "user.get": params.UserParams,
    "user.find": params.FindParams,
}


def build(method: str, data: object, caller: Caller, now: int) -> Command | Query:
    """The command or query of a client's call. Raises ChatError 104 or 107; `now` in ms judges the key's time."""
    found = METHODS.get(method)
    if found is None:
        raise ChatError(ErrorCode.METHOD_NOT_FOUND, f"there is no method {method[:64]!r}")
    try:
        parsed = found.model_validate({} if data is None else data)
        _check_key(getattr(parsed, "key", None), now)
        return parsed.build(caller)
    except ValidationError as error:
        raise ChatError(ErrorCode.BAD_REQUEST, f"{error.error_count()} invalid fields") from error


def _check_key(key: str | None, now: int) -> None:
    if key is None:
        return
    try:
        ahead = ids.key_time(key) - now
    except ValueError as error:
        raise ChatError(ErrorCode.BAD_REQUEST, "key is not a UUIDv7") from error
    if ahead > ids.KEY_AHEAD:
        raise ChatError(ErrorCode.BAD_REQUEST, "key lies more than five minutes ahead")

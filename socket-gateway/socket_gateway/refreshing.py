"""`refresh`: a newer token on the live socket. Archive judges it, as it judges the one that opened the session."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic_core import to_json

from pulsar_data.deliveries import Reply
from pulsar_data.errors import Disconnect, ErrorCode, RpcError
from pulsar_data.queries import CheckSession
from socket_gateway import opening
from socket_gateway.protocol import VERSION, RefreshRequest
from socket_gateway.requests import Answer
from socket_gateway.tokens import Identity, TokenError, TokenExpiredError, TokenUndecidedError

if TYPE_CHECKING:
    from socket_gateway.connection import Connection


def refresh(connection: Connection, number: int, request: RefreshRequest) -> None:
    """One refresh. A token that is no good ends the socket: an SDK gives up for good on an error reply."""
    try:
        identity = connection.gateway.tokens.verify(request.token)
    except TokenExpiredError:
        connection.close(Disconnect.EXPIRED)
    except TokenUndecidedError:
        connection.internal(number)
    except TokenError:
        connection.close(Disconnect.INVALID_TOKEN)
    else:
        _check(connection, number, identity)


def _check(connection: Connection, number: int, identity: Identity) -> None:
    if identity.user != connection.user:
        connection.close(Disconnect.INVALID_TOKEN)
    elif connection.turns_away() or connection.checking is not None:
        connection.refuse(number, RpcError.of(ErrorCode.TOO_MANY_REQUESTS))
    else:
        connection.checking = identity.session
        connection.question(CheckSession, partial(_checked, connection, number, identity), **identity.claims)


def _checked(connection: Connection, number: int, identity: Identity, answer: Answer) -> None:
    connection.checking = None
    error = answer.error if isinstance(answer, Reply) else None
    if error is None:
        connection.renewed(identity)
        connection.reply(number, "refresh", to_json(_result(connection, identity)))
    elif error.code == ErrorCode.TOKEN_EXPIRED:  # of a session that goes on: it is to come back with a newer one
        connection.close(Disconnect.EXPIRED)
    elif error.code == ErrorCode.UNAUTHORIZED:
        connection.close(Disconnect.INVALID_TOKEN)
    else:
        connection.internal(number)


def _result(connection: Connection, identity: Identity) -> dict[str, object]:
    ttl = opening.ttl(identity, connection.gateway.time())
    return {"client": connection.client, "version": VERSION, "expires": True, "ttl": ttl}

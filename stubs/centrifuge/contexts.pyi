"""What event handlers are told."""

from typing import Any

class StreamPosition:
    offset: int
    epoch: str

class ClientInfo:
    user: str
    client: str

class Publication:
    offset: int
    data: Any
    info: ClientInfo | None

class ConnectingContext:
    code: int
    reason: str

class ConnectedContext:
    client: str
    version: str
    data: Any

class DisconnectedContext:
    code: int
    reason: str

class ErrorContext:
    code: int
    error: Exception

class ServerSubscribedContext:
    channel: str
    recoverable: bool
    positioned: bool
    stream_position: StreamPosition | None
    was_recovering: bool
    recovered: bool
    data: Any

class ServerUnsubscribedContext:
    channel: str

class ServerPublicationContext:
    channel: str
    pub: Publication

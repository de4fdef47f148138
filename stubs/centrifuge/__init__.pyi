"""What we use of centrifuge-python. A push's and a result's `data` are whatever the server sent."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from centrifuge.contexts import (
    ConnectedContext,
    ConnectingContext,
    DisconnectedContext,
    ErrorContext,
    ServerPublicationContext,
    ServerSubscribedContext,
    ServerUnsubscribedContext,
)

class CentrifugeError(Exception): ...
class ClientDisconnectedError(CentrifugeError): ...
class OperationTimeoutError(CentrifugeError): ...
class UnauthorizedError(CentrifugeError): ...

class ReplyError(CentrifugeError):
    code: int
    message: str
    temporary: bool

class ClientState(Enum):
    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"

class RpcResult:
    data: Any

class ClientEventHandler:
    async def on_connecting(self, ctx: ConnectingContext) -> None: ...
    async def on_connected(self, ctx: ConnectedContext) -> None: ...
    async def on_disconnected(self, ctx: DisconnectedContext) -> None: ...
    async def on_error(self, ctx: ErrorContext) -> None: ...
    async def on_subscribed(self, ctx: ServerSubscribedContext) -> None: ...
    async def on_unsubscribed(self, ctx: ServerUnsubscribedContext) -> None: ...
    async def on_publication(self, ctx: ServerPublicationContext) -> None: ...

class Client:
    state: ClientState
    def __init__(
        self,
        address: str,
        events: ClientEventHandler | None = None,
        token: str = "",
        get_token: Callable[[], Awaitable[str]] | None = None,
        use_protobuf: bool = False,
        timeout: float = 5.0,
        max_server_ping_delay: float = 10.0,
        name: str = "python",
        version: str = "",
        data: Any = None,
        min_reconnect_delay: float = 0.1,
        max_reconnect_delay: float = 20.0,
        *,
        proxy: str | bool | None = True,
    ) -> None: ...
    async def connect(self) -> None: ...
    async def disconnect(self) -> None: ...
    async def ready(self, timeout: float | None = None) -> None: ...
    async def rpc(self, method: str, data: Any, timeout: float | None = None) -> RpcResult: ...

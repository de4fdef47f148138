"""The HTTP side: the socket, the server API, two probes, metrics. A thin adapter around `connection` and others."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from socket_gateway.binary import BINARY
from socket_gateway.gateway import Gateway
from socket_gateway.protocol import JSON
from socket_gateway.wire import WRITER

FORMS = (JSON, BINARY)
"""The first that a client offers; JSON for one that offers none."""


def create_app(gateway: Gateway) -> Starlette:
    """Needs a server that runs `wire.Socket`."""

    async def connection(websocket: WebSocket) -> None:
        offered = websocket.scope.get("subprotocols", [])
        form = next((form for form in FORMS if form.subprotocol in offered), None)
        await websocket.accept(form.subprotocol if form is not None else None)
        peer = websocket.client.host if websocket.client else ""
        address = gateway.door.address(peer, websocket.headers)
        connection = gateway.connection(websocket.scope["extensions"][WRITER], address, form or JSON)
        try:
            await connection.run(websocket.receive)
        finally:
            gateway.gone(connection)

    async def healthz(_request: Request) -> JSONResponse:
        return JSONResponse({"alive": True})

    async def readyz(_request: Request) -> JSONResponse:
        health = gateway.health
        ready = all(health.values())
        return JSONResponse({"ready": ready, **health}, status_code=200 if ready else 503)

    async def metrics(_request: Request) -> Response:
        text, kind = gateway.metrics.exposition()
        return Response(text, headers={"Content-Type": kind})

    async def rpc(request: Request) -> Response:
        return await gateway.server_api.handle(request)

    return Starlette(
        routes=[
            Route("/api/rpc", rpc, methods=["POST"]),
            WebSocketRoute("/connection/websocket", connection),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )

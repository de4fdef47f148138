"""Serves the web client: the files in `web/` as they are, and `config.json` with the addresses.

Any static server can do this, with a `config.json` of its own beside the files. Without addresses everything is where
the page is: behind an edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import click
import uvicorn
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class WebConfig(BaseModel):
    """What `config.json` says: the origin of user-auth, and the socket addresses, of which a page takes any."""

    model_config = ConfigDict(frozen=True)

    auth: str
    sockets: tuple[str, ...]

    @classmethod
    def beside(cls, request: Request) -> Self:
        """All at the origin that the page was asked of; an edge says in X-Forwarded-Proto how."""
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        address = f"://{request.headers.get('host', '')}"
        return cls(
            auth=("https" if secure else "http") + address,
            sockets=(("wss" if secure else "ws") + address + "/connection/websocket",),
        )

    @property
    def policy(self) -> str:
        """The Content-Security-Policy: nothing but our own files, and connections to these addresses."""
        connect = " ".join(("'self'", self.auth, *self.sockets))
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


def create_app(folder: Path, config: WebConfig | None) -> ASGIApp:
    """The pages, with headers that bind a browser to them. Without `config` everything is where the page is."""

    async def config_json(request: Request) -> JSONResponse:
        return JSONResponse((config or WebConfig.beside(request)).model_dump(mode="json"))

    pages = Starlette(routes=[Route("/config.json", config_json), Mount("/", StaticFiles(directory=folder, html=True))])
    return _Guarded(pages, config)


class _Guarded:
    """Adds the same headers to every answer."""

    def __init__(self, app: ASGIApp, config: WebConfig | None) -> None:
        self._app = app
        self._config = config
        self._headers: Final = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",  # a page that opened this one cannot lead it elsewhere
            "Cache-Control": "no-cache",  # an upgrade is seen at the next visit; unchanged files are answered with 304
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (self._config or WebConfig.beside(Request(scope))).policy
                MutableHeaders(scope=message).update({**self._headers, "Content-Security-Policy": policy})
            await send(message)

        await self._app(scope, receive, guarded)


@click.command()
@click.option("--folder", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", required=True, type=int)
@click.option("--auth", help="The origin of user-auth, as browsers reach it. Without it all is where the page is.")
@click.option("--socket", "sockets", multiple=True, help="ws:// address of a gateway; repeatable.")
def main(folder: Path, host: str, port: int, auth: str | None, sockets: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    app = create_app(folder, None if auth is None else WebConfig(auth=auth, sockets=tuple(sockets)))
    uvicorn.run(app, host=host, port=port, access_log=False, server_header=False, log_level="warning")


if __name__ == "__main__":
    main()

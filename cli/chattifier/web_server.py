"""Serves the web client on this machine: the files in `web/` as they are, and `config.json` with the addresses.

In a cluster any static server can do this, with a `config.json` of its own beside the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

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

    @property
    def policy(self) -> str:
        """The Content-Security-Policy: nothing but our own files, and connections to these addresses."""
        connect = " ".join(("'self'", self.auth, *self.sockets))
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


def create_app(folder: Path, config: WebConfig) -> ASGIApp:
    """The pages, with headers that bind a browser to them."""

    async def config_json(_request: Request) -> JSONResponse:
        return JSONResponse(config.model_dump(mode="json"))

    pages = Starlette(routes=[Route("/config.json", config_json), Mount("/", StaticFiles(directory=folder, html=True))])
    return _Guarded(pages, config.policy)


class _Guarded:
    """Adds the same headers to every answer."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers: Final = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",  # an upgrade is seen at the next visit; unchanged files are answered with 304
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, guarded)


@click.command()
@click.option("--folder", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", required=True, type=int)
@click.option("--auth", required=True, help="The origin of user-auth, as browsers reach it.")
@click.option("--socket", "sockets", required=True, multiple=True, help="ws:// address of a gateway; repeatable.")
def main(folder: Path, host: str, port: int, auth: str, sockets: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    app = create_app(folder, WebConfig(auth=auth, sockets=tuple(sockets)))
    uvicorn.run(app, host=host, port=port, access_log=False, server_header=False, log_level="warning")


if __name__ == "__main__":
    main()

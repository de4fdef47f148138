"""Which pages of other origins may call: browsers ask before they let a page read an answer (Fetch standard, CORS).

Nothing here decides who somebody is: tokens do, and no cookie is ever set, so an origin is never a credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from user_auth.http import Request

_PREFLIGHT: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Traceparent",
    "Access-Control-Max-Age": "600",
}


@dataclass(frozen=True)
class Origins:
    """The origins that may call."""

    allowed: frozenset[str] = frozenset()

    def is_preflight(self, request: Request) -> bool:
        """Whether a browser asks for a page of an allowed origin; any other OPTIONS is a request like all."""
        asked = request.method == "OPTIONS" and "access-control-request-method" in request.headers
        return asked and self._allows(request)

    def preflight(self) -> Mapping[str, str]:
        """The headers of the answer to one, beside those of every answer."""
        return _PREFLIGHT

    def headers(self, request: Request) -> Mapping[str, str]:
        """What every answer says to the browser; without allowed origins, nothing."""
        if not self.allowed:
            return {}
        if not self._allows(request):
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": request.headers["origin"],
            "Access-Control-Expose-Headers": "Retry-After",
        }

    def _allows(self, request: Request) -> bool:
        return request.headers.get("origin") in self.allowed


NOBODY: Final = Origins()
"""Only pages of our own origin."""

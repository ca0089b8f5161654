"""For the web pages of other origins that ORPHEUS_ALLOWED_ORIGINS names: CORS, as browsers ask it.

A middleware around `OriginGuard`, which refuses all others and judges sockets by the same list.
Each origin is answered by its name, never by a wildcard. No credentials: the login cookie is for
our own pages, a page elsewhere sends the token as `Authorization: Bearer`.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus.api.security import header_values, plain_origin

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = b"Allow, Idempotent-Replayed, Location, Retry-After, X-Request-Id"


class Cors:
    """Tells browsers that pages of these origins may read our answers."""

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        self.app = app
        self._allowed = frozenset(plain_origin(origin) for origin in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        origins = header_values(scope, b"origin")
        known = len(origins) == 1 and plain_origin(origins[0]) in self._allowed
        # An answer differs by who asks, also where nobody is allowed anything.
        extra = [(b"vary", b"Origin")]
        if known:
            extra.append((b"access-control-allow-origin", origins[0].encode("latin-1")))
            extra.append((b"access-control-expose-headers", _EXPOSED))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        if known and _is_preflight(scope):
            # Before the token: browsers send none with it.
            await Response(None, 204, _PREFLIGHT)(scope, receive, with_headers)
            return
        await self.app(scope, receive, with_headers)


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and bool(
        header_values(scope, b"access-control-request-method")
    )

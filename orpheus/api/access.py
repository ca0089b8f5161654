"""One request seen from outside: its id, its line in the log, its place in the figures.

The outermost middleware. Also the last resort: an exception nobody expected becomes a problem
document and a logged traceback here. Never logs a body, a query string or a header.
"""

from __future__ import annotations

import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus.api.metrics import HttpMetrics
from orpheus.api.problems import problem
from orpheus.clock import SECOND_NS, Clock
from orpheus.log import get_logger

_QUIET = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
_PATH_SHOWN = 200


class Access:
    """Wraps every HTTP request."""

    def __init__(self, app: ASGIApp, clock: Clock, metrics: HttpMetrics) -> None:
        self.app = app
        self._clock = clock
        self._metrics = metrics
        self._log = get_logger(__name__).bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        started = self._clock.monotonic()
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except Exception:
            self._log.exception("a request failed", request_id=request_id, path=_path(scope))
            if not status:
                response = problem(scope, "internal", "see the log for this request_id")
                await response(scope, receive, observed)
        finally:
            seconds = (self._clock.monotonic() - started) / SECOND_NS
            self._finish(scope, request_id, status, seconds)

    def _finish(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        # 499: the client left before there was an answer.
        status = status or 499
        self._metrics.observe(scope["method"], _route(scope), status, seconds)
        path = scope["path"]
        if path in _QUIET or path.startswith("/static/"):
            return
        self._log.info(
            "request",
            method=scope["method"],
            path=_path(scope),
            status=status,
            ms=round(seconds * 1000, 1),
            request_id=request_id,
        )


def _route(scope: Scope) -> str:
    """The route's pattern, which unlike paths is one of few."""
    return getattr(scope.get("route"), "path", "unmatched")


def _path(scope: Scope) -> str:
    return ascii(scope["path"][:_PATH_SHOWN])[1:-1]

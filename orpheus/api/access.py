"""One request seen from outside: its id, its line in the log, its place in the figures.

The outermost middleware. Also the last resort: an exception nobody expected becomes a problem
document and a logged traceback here. Never logs a body, a query string or a header. Requests that
went well and fast are logged at debug level only (ADR 0012): they are counted.
"""

from __future__ import annotations

import logging
import os
import secrets
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus.api.metrics import HttpMetrics
from orpheus.api.problems import PATH_SHOWN, problem
from orpheus.clock import SECOND_NS, Clock
from orpheus.log import get_logger

SLOW_SECONDS = 1.0
_QUIET = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})


class Access:
    """Wraps every HTTP request."""

    def __init__(self, app: ASGIApp, clock: Clock, metrics: HttpMetrics) -> None:
        self.app = app
        self._clock = clock
        self._metrics = metrics
        self._log = get_logger(__name__).bind()
        self._ids = _RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        request_id = self._ids.next()
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
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode("ascii")),
                ]
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
        notable = status >= 400 or (seconds >= SLOW_SECONDS and not _may_wait(scope))
        if not (notable or self._log.is_enabled_for(logging.DEBUG)):
            return
        path = scope["path"]
        if path in _QUIET or path.startswith("/static/"):
            return
        write = self._log.info if notable else self._log.debug
        write(
            "request",
            method=scope["method"],
            path=_path(scope),
            status=status,
            ms=round(seconds * 1000, 1),
            request_id=request_id,
        )


class _RequestIds:
    """Sixteen hexadecimal digits: half chance, chosen once, half a counter."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4)
        self._numbers = count(int.from_bytes(os.urandom(3), "big"))

    def next(self) -> str:
        return f"{self._prefix}{next(self._numbers) & 0xFFFFFFFF:08x}"


def _may_wait(scope: Scope) -> bool:
    """Whether the client asked for a long answer with `?wait=`."""
    return b"wait=" in scope["query_string"]


def _route(scope: Scope) -> str:
    """The route's pattern, which unlike paths is one of few."""
    return getattr(scope.get("route"), "path", "unmatched")


def _path(scope: Scope) -> str:
    return ascii(scope["path"][:PATH_SHOWN])[1:-1]

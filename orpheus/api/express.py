"""The short way to the few routes that thousands of requests a second take.

FastAPI describes these routes like all others and would serve them; here they go without its
routing, dependency injection and exit stacks (ADR 0012). Everything that guards a request has run
before; what the endpoints raise on purpose becomes the same problem document as elsewhere.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from orpheus.api.problems import expected
from orpheus.errors import RequestError, StoreBusy, StoreFailed


class Express:
    """Calls the endpoints of `router`, which take a request only and have fixed paths."""

    def __init__(self, app: FastAPI, router: APIRouter) -> None:
        self.app = app
        self._routes: dict[tuple[str, str], APIRoute] = {}
        for route in router.routes:
            if isinstance(route, APIRoute):
                assert not route.param_convertors
                self._routes |= {(method, route.path): route for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = scope["type"] == "http" and self._routes.get((scope["method"], scope["path"]))
        if not route:
            await self.app(scope, receive, send)
            return
        scope["app"] = self.app
        scope["route"] = route
        try:
            response = await route.endpoint(Request(scope, receive, send))
        except (RequestError, StoreBusy, StoreFailed) as error:
            response = expected(scope, error)
        await response(scope, receive, send)

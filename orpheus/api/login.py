"""With a token set: who shows it goes on, a browser is asked for it, others are told what to send.

A middleware before everything that has anything to show, for HTTP and WebSocket alike. Open without
the token are `/livez` and `/healthz`, and what the form itself needs: `/login`, `/logout` and
`/login.css`. The form works without a script.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orpheus.api.bodies import CLOSE, KIB, READ_SECONDS, read_body
from orpheus.api.login_cookie import NAME, LoginCookie, same_secret
from orpheus.api.pages.rendering import FORM_HEADERS, LOGGED_IN, Pages, theme_of
from orpheus.api.problems import problem
from orpheus.clock import Clock
from orpheus.errors import RequestError

_OPEN = ("/livez", "/healthz")
_FORM_TYPE = "application/x-www-form-urlencoded"
_FORM_LIMIT = 8 * KIB
# A path of ours; "//name" and "/\name" would lead a browser elsewhere.
_NEXT = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,2000}")
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

_Act = Callable[[Request], Awaitable[Response]]


class TokenGuard:
    """Lets through who has the token or the cookie made of it."""

    def __init__(self, app: ASGIApp, token: str, pages: Pages, clock: Clock) -> None:
        self.app = app
        self._token = token.encode()
        self._cookie = LoginCookie(token, clock)
        self._pages = pages
        self._acts: dict[str, dict[str, _Act]] = {
            "/login": {"GET": self._ask, "POST": self._log_in},
            "/logout": {"POST": self._log_out},
            "/login.css": {"GET": self._style},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                response = await self._answer(scope, receive)
            except ClientDisconnect:
                return
            if response is not None:
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """None for who may go on."""
        path = scope["path"]
        if scope["type"] == "http" and path in self._acts:
            return await self._act(Request(scope, receive), self._acts[path])
        if path in _OPEN or self._may_pass(scope):
            return None
        if scope["type"] == "http" and _wants_page(scope):
            return self._form(Request(scope), 401, _address(scope))
        return problem(
            scope,
            "unauthorized",
            "send the token of ORPHEUS_TOKEN as 'Authorization: Bearer …', or log in at /login",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _may_pass(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, given = value.partition(b" ")
                if scheme.lower() == b"bearer" and same_secret(given.strip(), self._token):
                    return True
            elif name == b"cookie":
                cookie = cookie_parser(value.decode("latin-1")).get(NAME, "")
                if self._cookie.is_valid(cookie):
                    scope.setdefault("state", {})[LOGGED_IN] = True
                    return True
        return False

    async def _act(self, request: Request, acts: dict[str, _Act]) -> Response:
        act = acts.get(request.method)
        if act is None:
            allowed = ", ".join(sorted(acts))
            return problem(
                request.scope,
                "method_not_allowed",
                f"use one of: {allowed}",
                headers={"Allow": allowed},
            )
        try:
            return await act(request)
        except RequestError as error:
            return problem(request.scope, error.code, error.detail, headers=CLOSE)

    async def _ask(self, request: Request) -> Response:
        return self._form(request, 200, "/")

    async def _log_in(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != _FORM_TYPE:
            raise RequestError("unsupported_media_type", f"send the form as {_FORM_TYPE}")
        body = await read_body(request.receive, request.headers.raw, _FORM_LIMIT, READ_SECONDS)
        try:
            fields = parse_qs(body.decode("ascii", "replace"), max_num_fields=10)
        except ValueError:
            fields = {}
        where = fields.get("next", ["/"])[0]
        given = fields.get("token", [""])[0].strip()
        if not same_secret(given.encode(), self._token):
            return self._form(request, 401, where, wrong=True)
        # We see plain HTTP also behind a proxy that does TLS; the browser knows what it used.
        secure = request.headers.get("origin", "").startswith("https://")
        headers = {"Set-Cookie": self._cookie.fresh(secure), "Cache-Control": "no-store"}
        return RedirectResponse(_ours(where), 303, headers)

    async def _log_out(self, request: Request) -> Response:
        return RedirectResponse("/login", 303, {"Set-Cookie": self._cookie.gone()})

    async def _style(self, request: Request) -> Response:
        return self._pages.assets.respond(request, "css/login.css")

    def _form(self, request: Request, status: int, where: str, wrong: bool = False) -> Response:
        html = self._pages.html("login.html", theme_of(request), next=_ours(where), wrong=wrong)
        headers = {
            "Content-Security-Policy": _POLICY,
            "Cache-Control": "no-store",
            **FORM_HEADERS,
        }
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return HTMLResponse(html, status, headers)


def _wants_page(scope: Scope) -> bool:
    """Whether a person looks at the answer: browsers name HTML when they go somewhere."""
    accepts = [value for name, value in scope["headers"] if name == b"accept"]
    return scope["method"] == "GET" and any(b"text/html" in value for value in accepts)


def _address(scope: Scope) -> str:
    path: str = scope.get("raw_path", b"/").decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _ours(address: str) -> str:
    return address if _NEXT.fullmatch(address) else "/"

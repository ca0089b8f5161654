"""Who may talk to us: Host and origin, and the headers that bind browsers.

Pure ASGI middlewares for HTTP and WebSocket alike, added by `api.app`. A local API without a login
is safe only because these refuse what a web page elsewhere could make a browser send: a foreign
Host (DNS rebinding), a foreign Origin (CSRF, WebSocket hijacking). Never looks at a body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus.api.loopback import is_loopback
from orpheus.api.problems import problem

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
# As they go out: they are part of every answer.
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_SAFE_METHODS = ("GET", "HEAD")


class Refusal(NamedTuple):
    """Why a request goes no further."""

    code: str
    detail: str
    headers: Mapping[str, str] = {}


class _Guard:
    """A middleware that lets a request through or answers with a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            refusal = self.refuse(scope)
            if refusal is not None:
                response = problem(scope, refusal.code, refusal.detail, headers=refusal.headers)
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def refuse(self, scope: Scope) -> Refusal | None:
        raise NotImplementedError


class HostGuard(_Guard):
    """`Host` must be loopback or allowed: a name that resolves to us may be an attacker's."""

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        super().__init__(app)
        self._allowed = {"localhost", *(name.lower() for name in allowed)}

    def refuse(self, scope: Scope) -> Refusal | None:
        hosts = header_values(scope, b"host")
        if len(hosts) == 1 and (match := _AUTHORITY.fullmatch(hosts[0])):
            name = match[1].lower().strip("[]")
            if name in self._allowed or hosts[0].lower() in self._allowed or is_loopback(name):
                return None
        return Refusal(
            "invalid_host",
            "use http://127.0.0.1 or http://localhost, or list the name in ORPHEUS_ALLOWED_HOSTS",
        )


class OriginGuard(_Guard):
    """What a browser says about where a request comes from must name us; silence is fine."""

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        super().__init__(app)
        self._allowed = frozenset(plain_origin(origin) for origin in allowed)

    def refuse(self, scope: Scope) -> Refusal | None:
        if origins := header_values(scope, b"origin"):
            (host,) = header_values(scope, b"host")
            ours = all(self._is_ours(origin, host) for origin in origins)
        else:
            ours = _site_is_ours(scope)
        if ours:
            return None
        return Refusal(
            "cross_origin",
            "this request was sent by a page of another site; "
            "list that site in ORPHEUS_ALLOWED_ORIGINS if it is yours",
        )

    def _is_ours(self, origin: str, host: str) -> bool:
        if plain_origin(origin) in self._allowed:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:  # half an IPv6 address, for one
            return False
        default = _DEFAULT_PORTS.get(parts.scheme)
        if default is None:
            return False
        return _with_port(parts.netloc, default) == _with_port(host, default)


class SecurityHeaders:
    """Tells browsers to load nothing from elsewhere and to run nothing that is not a file of ours.

    A page may set a policy of its own; it is kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = message["headers"]
                own = {name for name, _ in headers}
                message["headers"] = [*headers, *(item for item in _HEADERS if item[0] not in own)]
            await send(message)

        await self.app(scope, receive, with_headers)


def header_values(scope: Scope, name: bytes) -> list[str]:
    """The values of a header, without decoding all the others."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def plain_origin(origin: str) -> str:
    """As browsers send it: lower case, no port that goes without saying, no slash at the end."""
    origin = origin.lower().rstrip("/")
    default = _DEFAULT_PORTS.get(origin.partition(":")[0])
    return origin.removesuffix(f":{default}") if default else origin


def _first(scope: Scope, name: bytes, default: str) -> str:
    return next(iter(header_values(scope, name)), default)


def _site_is_ours(scope: Scope) -> bool:
    """Following a link to us is allowed; what a foreign page fetches, posts or embeds is not."""
    site = _first(scope, b"sec-fetch-site", "none")
    if site in ("same-origin", "none"):
        return True
    return (
        scope["type"] == "http"
        and scope["method"] in _SAFE_METHODS
        and _first(scope, b"sec-fetch-mode", "") == "navigate"
    )


def _with_port(authority: str, default: str) -> tuple[str, str] | None:
    match = _AUTHORITY.fullmatch(authority)
    return (match[1].lower(), match[2] or default) if match else None

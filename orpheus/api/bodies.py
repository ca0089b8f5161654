"""How bodies come in: JSON only, bounded in size and in time.

A pure ASGI middleware that reads the whole body before the route runs, so that no route can forget
a limit. Counts what arrives, whatever the headers claim.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus.api.problems import problem
from orpheus.errors import RequestError

KIB = 1024
MIB = 1024 * KIB
LIMIT = MIB
BATCH_PATH = "/jobs/batch"
BATCH_LIMIT = 16 * MIB
READ_SECONDS = 10.0

# After these the rest of the body is still on its way, so the connection is of no more use.
CLOSE = {"Connection": "close"}
_BODY = "body"

Headers = dict[bytes, bytes]


class Bodies:
    """Reads, checks and replays the body of each request."""

    def __init__(self, app: ASGIApp, read_seconds: float = READ_SECONDS) -> None:
        self.app = app
        self._read_seconds = read_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(headers := _headers(scope)):
            await self.app(scope, receive, send)
            return
        try:
            _check_type(scope, headers)
            body = await read_body(receive, scope["headers"], _limit(scope), self._read_seconds)
        except RequestError as error:
            await _refuse(scope, error)(scope, receive, send)
            return
        except ClientDisconnect:
            return
        scope.setdefault("state", {})[_BODY] = body
        await self.app(scope, _replay(body, receive), send)


async def read_body(
    receive: Receive, headers: Iterable[tuple[bytes, bytes]], limit: int, seconds: float
) -> bytes:
    """The whole body, of at most `limit` bytes, that arrives within `seconds`.

    Raises RequestError, or ClientDisconnect where the client leaves in the middle of it.
    """
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    more = True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                piece = message.get("body", b"")
                size += len(piece)
                if size > limit:
                    raise _too_large(limit)
                pieces.append(piece)
                more = message.get("more_body", False)
    except TimeoutError:
        raise RequestError(
            "request_timeout", f"send the whole body within {seconds:g} seconds"
        ) from None
    return b"".join(pieces)


def body_of(request: Request) -> bytes:
    """The whole body of a request that came through `Bodies`; empty where it has none."""
    body: bytes = request.scope["state"].get(_BODY, b"")
    return body


def _headers(scope: Scope) -> Headers:
    """By name; of repeated ones the first counts."""
    return dict(reversed(scope["headers"]))


def _has_body(headers: Headers) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def _limit(scope: Scope) -> int:
    return BATCH_LIMIT if scope["path"] == BATCH_PATH else LIMIT


def _check_type(scope: Scope, headers: Headers) -> None:
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type == b"application/json":
        return
    host = headers.get(b"host", b"127.0.0.1:8000").decode("latin-1")
    url = f"{scope.get('scheme', 'http')}://{host}"
    example = '{"type": "sum_range", "payload": {"n": 100}}'
    raise RequestError(
        "unsupported_media_type",
        f"send JSON as application/json: curl --json '{example}' {url}/jobs",
    )


def _too_large(limit: int) -> RequestError:
    size = f"{limit // MIB} MiB" if limit >= MIB else f"{limit // KIB} KiB"
    return RequestError("body_too_large", f"a body here may have at most {size}")


def _refuse(scope: Scope, error: RequestError) -> Response:
    return problem(scope, error.code, error.detail, headers=CLOSE)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever else happens to the connection."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay

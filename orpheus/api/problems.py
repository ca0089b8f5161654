"""Everything that is not a success, as RFC 9457 problem documents.

The closed list of codes lives here with their statuses. Routes raise `RequestError`; this module
turns those, FastAPI's own errors and plain HTTP errors into one shape. Never echoes input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from orpheus.errors import InvalidRequest, RequestError, StoreBusy, StoreFailed

MEDIA_TYPE = "application/problem+json"
# Of a path that a client sent, no more than this comes back or is logged.
PATH_SHOWN = 200
_RETRY_AFTER_SECONDS = {"queue_full": 5, "storage_low": 10, "store_busy": 1}

# code -> (status, title)
CODES: dict[str, tuple[int, str]] = {
    "invalid_json": (422, "The body is not valid JSON"),
    "body_required": (422, "A body is required"),
    "wrong_type": (422, "A value has the wrong type"),
    "unknown_field": (422, "A field is not known"),
    "unknown_type": (422, "The job type is not known"),
    "invalid_payload": (422, "The payload does not fit the handler"),
    "invalid_name": (422, "A name has characters it may not have"),
    "out_of_range": (422, "A value is out of range"),
    "invalid_time": (422, "A time is not valid"),
    "invalid_parameter": (422, "A parameter is not valid"),
    "non_finite_number": (422, "A number is not finite"),
    "too_deep": (422, "The JSON is nested too deeply"),
    "body_too_large": (413, "The body is too large"),
    "result_too_large": (422, "The result is too large"),
    "unsupported_media_type": (415, "The body must be JSON"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "The method is not allowed here"),
    "invalid_state": (409, "The job's state does not allow this"),
    "unique_conflict": (409, "The unique key is held by another job"),
    "idempotency_conflict": (422, "The idempotency key was used with another body"),
    "not_supported": (422, "Not supported yet"),
    "invalid_host": (400, "The Host header is not ours"),
    "cross_origin": (403, "The request comes from another origin"),
    "unauthorized": (401, "A token is required"),
    "queue_full": (429, "Too many jobs are waiting"),
    "storage_low": (503, "The disk is nearly full"),
    "store_busy": (503, "The database is busy"),
    "request_timeout": (408, "The body did not arrive in time"),
    # Not in the contract's list: no input leads here, only a defect of ours.
    "internal": (500, "Something went wrong inside Orpheus"),
}

Errors = Sequence[tuple[tuple[str | int, ...], str]]


def problem(
    scope: Scope,
    code: str,
    detail: str,
    errors: Errors = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for `code`; `detail` says what to do, `errors` name the places."""
    status, title = CODES[code]
    body = {
        "type": f"urn:orpheus:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": scope.get("path", "")[:PATH_SHOWN],
        "code": code,
        "errors": [{"loc": list(loc), "msg": message} for loc, message in errors],
        "request_id": scope.get("state", {}).get("request_id", ""),
    }
    response = Response(_encode(body), status, headers, MEDIA_TYPE)
    if code in _RETRY_AFTER_SECONDS:
        response.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS[code])
    return response


Expected = RequestError | StoreBusy | StoreFailed


def expected(scope: Scope, error: Expected) -> Response:
    """The response for what routes raise on purpose."""
    if isinstance(error, RequestError):
        errors = error.errors if isinstance(error, InvalidRequest) else ()
        return problem(scope, error.code, error.detail, errors)
    return problem(scope, "store_busy", f"{error}; try again shortly")


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Make every error of the app a problem document; `routers` are where its routes are."""

    @app.exception_handler(RequestError)
    @app.exception_handler(StoreBusy)
    @app.exception_handler(StoreFailed)
    async def _(request: Request, error: Expected) -> Response:
        return expected(request.scope, error)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        return _invalid(request.scope, error)

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> Response:
        """`api.access` logs it."""
        return problem(request.scope, "internal", "see the log for this request_id")

    routes = [*app.routes, *(route for router in routers for route in router.routes)]

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        return _http(request.scope, error, routes)


def _invalid(scope: Scope, error: RequestValidationError) -> Response:
    """A query or path parameter that FastAPI refused."""
    errors = [(_place(item["loc"]), str(item["msg"])) for item in error.errors()]
    where, message = errors[0]
    name = ".".join(str(part) for part in where)
    return problem(scope, "invalid_parameter", f"{name}: {message}", errors)


def _place(loc: tuple[Any, ...]) -> tuple[str | int, ...]:
    return tuple(part if isinstance(part, int) else str(part)[:100] for part in loc)


def _http(scope: Scope, error: HTTPException, routes: Sequence[BaseRoute]) -> Response:
    """What the router and the static files raise."""
    if error.status_code == 404:
        return problem(scope, "not_found", "nothing is served here; GET /docs lists what is")
    if error.status_code == 405:
        allowed = ", ".join(_methods_here(scope, routes))
        detail = f"use one of: {allowed}"
        return problem(scope, "method_not_allowed", detail, headers={"Allow": allowed})
    code = "invalid_parameter" if error.status_code < 500 else "internal"
    response = problem(scope, code, str(error.detail), headers=error.headers)
    response.status_code = error.status_code
    return response


def _methods_here(scope: Scope, routes: Sequence[BaseRoute]) -> list[str]:
    """The methods of all routes of this path; the router itself names the first one's only."""
    methods: set[str] = set()
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods)


def _encode(body: dict[str, Any]) -> bytes:
    try:
        return to_json(body) + b"\n"
    except ValueError:
        # A lone surrogate in a name that was quoted back: say it without them.
        clean = {
            key: value.encode("ascii", "backslashreplace").decode()
            if isinstance(value, str)
            else value
            for key, value in body.items()
        }
        return to_json(clean | {"errors": []}) + b"\n"

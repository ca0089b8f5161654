"""For operators and machines: liveness, health, metrics, and the description of the API."""

from __future__ import annotations

from typing import Any

import anyio
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from orpheus.api.openapi import document
from orpheus.api.rendering import json_response
from orpheus.api.schemas import Health
from orpheus.api.services import services
from orpheus.errors import StoreBusy, StoreFailed

router = APIRouter(tags=["operations"])

_METRICS_SECONDS = 2.0
_DOCS = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Orpheus: the API</title>
<h1>The API</h1>
<p>The whole API, as OpenAPI 3.1: <a href="/openapi.json">/openapi.json</a>.
Open it in the viewer of your choice; this page loads nothing from elsewhere.</p>
{operations}
<p>The live feed is a WebSocket at <code>/ws</code>.
The <a href="/">dashboard</a> is at the root.</p>
</html>
"""


@router.get("/livez", summary="The loop runs")
async def livez() -> Response:
    return json_response({"status": "ok"})


@router.get(
    "/healthz",
    summary="The API can do its work",
    responses={200: {"model": Health}, 503: {"model": Health}},
)
@router.get("/readyz", include_in_schema=False)
async def healthz(request: Request) -> Response:
    ok, found = await services(request).health.check()
    headers = {"Cache-Control": "no-store"}
    if not ok:
        headers["Retry-After"] = "1"
    return json_response(found, 200 if ok else 503, headers)


@router.get(
    "/metrics",
    summary="Prometheus figures",
    response_class=PlainTextResponse,
    responses={200: {"content": {"application/openmetrics-text": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    api = services(request)
    rows = None
    try:
        with anyio.fail_after(_METRICS_SECONDS):
            rows = await api.reads.metrics()
    except (TimeoutError, StoreBusy, StoreFailed):
        pass  # The last good figures are shown, and marked stale.
    body, media_type = api.metrics.render(rows, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type})


@router.get("/openapi.json", include_in_schema=False)
async def openapi_json(request: Request) -> Response:
    return json_response(_document(request.app))


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    lines = [
        f"<li><code>{method.upper()} {path}</code> {operation['summary']}</li>"
        for path, operations in _document(request.app)["paths"].items()
        for method, operation in operations.items()
    ]
    return HTMLResponse(_DOCS.format(operations=f"<ul>\n{chr(10).join(lines)}\n</ul>"))


def _document(app: FastAPI) -> dict[str, Any]:
    """Made once: nothing in it changes while the program runs."""
    if not hasattr(app.state, "openapi"):
        app.state.openapi = document(app)
    made: dict[str, Any] = app.state.openapi
    return made

"""The dashboard's server side: HTML pages with the data in them, and the static files.

`api.app` includes `router` and calls `mount_static` once. Live updates are `/ws`'s, acts are the
JSON routes'; this package only reads.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from orpheus.api.pages.rendering import Pages
from orpheus.api.pages.views import router

__all__ = ["mount_static", "router"]


def mount_static(app: FastAPI) -> None:
    """Load the static files and serve them under `/static/`."""
    pages = Pages()
    app.state.pages = pages

    async def static_file(request: Request) -> Response:
        return pages.assets.respond(request, request.path_params["path"])

    async def favicon(request: Request) -> Response:
        """Browsers ask here on their own for what is no page of ours, such as a job's JSON."""
        return pages.assets.respond(request, "favicon.svg")

    app.add_route("/static/{path:path}", static_file, methods=["GET"], include_in_schema=False)
    app.add_route("/favicon.ico", favicon, methods=["GET"], include_in_schema=False)

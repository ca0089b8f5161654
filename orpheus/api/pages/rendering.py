"""Turns a template and plain data into an HTML response.

`mount_static` makes one `Pages` an application; the views call `render`. Everything is escaped; no
view builds markup in Python.
"""

from __future__ import annotations

import gzip
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from orpheus.api.pages.assets import Assets, accepts_gzip
from orpheus.api.pages.formats import FILTERS
from orpheus.clock import Clock, SystemClock

if TYPE_CHECKING:
    from jinja2 import Environment

# In the state of a request whose visitor has the login cookie.
LOGGED_IN = "logged_in"
# A page without a referrer sends its forms with `Origin: null`, which could be anybody's.
FORM_HEADERS = {"Referrer-Policy": "same-origin"}
THEME_COOKIE = "orpheus_theme"
_THEMES = ("auto", "light", "dark")
# A page is made anew for every visit; a better ratio would cost more than it saves.
_FAST = 1
_DASHBOARD = Path(__file__).parents[2] / "dashboard"


class Pages:
    """The templates and static files of one application."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.assets = Assets(_DASHBOARD / "static")
        self._clock = clock or SystemClock()

    @cached_property
    def _environment(self) -> Environment:
        # With the first page, which compiles its template anyway: an API whose dashboard nobody
        # opens is 3 MB smaller.
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(_DASHBOARD / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= FILTERS | {"label": label}
        environment.globals |= {"asset": self.assets.url, "modules": self.assets.modules}
        return environment

    def html(
        self,
        template: str,
        theme: str = "auto",
        here: str = "",
        logged_in: bool = False,
        **data: Any,
    ) -> str:
        """The text of a page; `here` is the address of its entry in the navigation."""
        return self._environment.get_template(template).render(
            data, theme=theme, here=here, logged_in=logged_in, now=self._clock.now()
        )


def render(
    request: Request, template: str, *, here: str = "", status: int = 200, **data: Any
) -> HTMLResponse:
    """Answer with a page in the visitor's theme."""
    pages: Pages = request.app.state.pages
    logged_in = request.scope.get("state", {}).get(LOGGED_IN, False)
    headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding, Cookie"}
    if logged_in:
        headers |= FORM_HEADERS
    body = pages.html(template, theme_of(request), here, logged_in, status=status, **data).encode()
    if accepts_gzip(request):
        body = gzip.compress(body, _FAST)
        headers["Content-Encoding"] = "gzip"
    return HTMLResponse(body, status_code=status, headers=headers)


def theme_of(request: Request) -> str:
    """The cookie's choice; whatever else it holds means auto."""
    chosen = request.cookies.get(THEME_COOKIE, "auto")
    return chosen if chosen in _THEMES else "auto"


def label(name: str) -> str:
    """`in_progress` → `In progress`."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]

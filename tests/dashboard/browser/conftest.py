"""A real Chromium before a real Orpheus.

One system and one browser serve the whole package. They end with it: playwright keeps an event loop
in this thread, which the asynchronous tests of other packages could not live with. Every page fails
its test on a console error, a policy violation, an uncaught error or a request to anybody else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from orpheus.client.http import Client
from tests.support.system import System

_ROOT = Path(__file__).resolve().parents[3]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))
"""

OpenPage = Callable[..., Page]


def find_chromium() -> str | None:
    """`ORPHEUS_CHROMIUM`, or the first known name on the path."""
    named = os.environ.get("ORPHEUS_CHROMIUM")
    return named or next((path for name in _NAMES if (path := shutil.which(name))), None)


# Read while collecting: the fixture that keeps ORPHEUS_* from tests comes later.
_CHROMIUM = find_chromium()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if _CHROMIUM is None:
        pytest.skip(f"NO BROWSER: set ORPHEUS_CHROMIUM or install one of {', '.join(_NAMES)}")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM, args=[*_FLAGS, *sandbox], timeout=30_000
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """API and workers for the tests that only add jobs."""
    handlers = "orpheus.handlers.samples,tests.dashboard.handlers"
    system = System(tmp_path_factory.mktemp("dashboard"), handlers=handlers)
    system.environment["PYTHONPATH"] = str(_ROOT)
    with system:
        yield system


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    with system.client() as client:
        yield client


class Watch:
    """What went wrong in a page; `expected` are parts of messages that a test provokes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.expected: tuple[str, ...] = ()
        self._seen: list[str] = []

    def follow(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._seen.append(f"uncaught: {error}"))
        page.on("request", self._request)

    def wrong(self) -> list[str]:
        return [text for text in self._seen if not any(part in text for part in self.expected)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._seen.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self._url):
            self._seen.append(f"request to {request.url}")


@pytest.fixture
def watch(system: System) -> Watch:
    return Watch(system.url)


@pytest.fixture
def open_page(browser: Browser, system: System, watch: Watch) -> Iterator[OpenPage]:
    """Open an address of the dashboard, in a context of its own with the given options."""
    contexts = []

    def open_(path: str = "/", width: int = 1280, height: int = 900, **options: Any) -> Page:
        context = browser.new_context(
            base_url=system.url, viewport={"width": width, "height": height}, **options
        )
        contexts.append(context)
        context.set_default_timeout(15_000)
        context.add_init_script(_REPORT_VIOLATIONS)
        page = context.new_page()
        watch.follow(page)
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert watch.wrong() == []

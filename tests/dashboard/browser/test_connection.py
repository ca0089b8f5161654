"""Losing the server: it is said, figures are marked, and all is right again when it is back."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.dashboard.browser.conftest import OpenPage, Watch
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = pytest.mark.browser

_LOST = ("WebSocket connection to", "ERR_CONNECTION_REFUSED")
# A page without scripts, to be on while something is put between page and server.
_ELSEWHERE = "/static/favicon.svg"


@contextmanager
def without_api(system: System) -> Iterator[None]:
    assert system.api is not None
    system.api.send_signal(signal.SIGTERM)
    assert system.api.wait(20) == 0
    try:
        yield
    finally:
        system.start_api()


def test_a_restart_of_the_api_is_survived(
    open_page: OpenPage, system: System, watch: Watch
) -> None:
    watch.expected = _LOST
    page = open_page("/")
    page.evaluate("window.sameDocument = true")
    state = page.locator("[data-connection]")
    expect(state).to_have_attribute("data-connection", "live")

    with without_api(system):
        expect(state).to_have_attribute("data-connection", "reconnecting")
        expect(state.locator("[role=status]")).to_have_text("reconnecting")
        expect(page.locator("html")).to_have_attribute("data-stale", "")
        expect(page.get_by_role("button", name="Retry now")).to_be_visible()

    with system.client() as client:
        job = client.submit("wordcount", {"text": "a"})
        client.wait(job["id"])
    expect(state).to_have_attribute("data-connection", "live", timeout=20_000)
    expect(page.locator("html")).not_to_have_attribute("data-stale", "")
    expect(page.locator(f"tr[data-key='{job['id']}']")).to_have_attribute("data-state", "done")
    assert page.evaluate("window.sameDocument") is True


def test_without_a_network_it_says_since_when(open_page: OpenPage, watch: Watch) -> None:
    watch.expected = (*_LOST, "ERR_INTERNET_DISCONNECTED")
    page = open_page("/")
    state = page.locator("[data-connection]")
    expect(state).to_have_attribute("data-connection", "live")
    page.context.set_offline(True)
    expect(state).to_have_attribute("data-connection", "offline")
    expect(state.locator("[role=status]")).to_have_text(re.compile(r"offline since \d\d:\d\d:\d\d"))
    page.context.set_offline(False)
    expect(state).to_have_attribute("data-connection", "live")


def test_a_dropped_socket_is_replaced_and_asks_again(open_page: OpenPage, watch: Watch) -> None:
    watch.expected = _LOST
    page = open_page(_ELSEWHERE)
    sockets: list[WebSocketRoute] = []
    asked: list[str] = []
    count_sockets(page, sockets, asked)
    page.goto("/")
    state = page.locator("[data-connection]")
    expect(state).to_have_attribute("data-connection", "live")
    first = sorted(asked)
    asked.clear()
    sockets[0].close(code=1012, reason="test")

    def asked_again() -> bool:
        # Playwright tells us about sockets only while it is asked something.
        return state.is_visible() and len(sockets) == 2 and sorted(asked) == first

    eventually(asked_again)
    expect(state).to_have_attribute("data-connection", "live")


def count_sockets(page: Page, sockets: list[WebSocketRoute], asked: list[str]) -> None:
    """Stand between page and server: hear what is asked, and be able to hang up."""

    def accept(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        sockets.append(route)

        def forward(message: str | bytes) -> None:
            asked.append(str(message))
            server.send(message)

        route.on_message(forward)

    page.route_web_socket("**/ws?mode=dashboard", accept)


def test_a_goodbye_is_honoured(open_page: OpenPage, watch: Watch) -> None:
    """The server says when to come back; nothing is tried before that."""
    watch.expected = _LOST
    page = open_page(_ELSEWHERE)
    opened: list[WebSocketRoute] = []

    def accept(route: WebSocketRoute) -> None:
        opened.append(route)
        route.send('{"type":"hello","seq":0,"epoch":"e","now":"2026-01-31T12:00:00.000000Z"}')
        if len(opened) == 1:
            route.send('{"type":"bye","retry_ms":1500}')
            route.close(code=1012)

    page.route_web_socket("**/ws?mode=dashboard", accept)
    page.goto("/")
    state = page.locator("[data-connection]")
    expect(state).to_have_attribute("data-connection", "reconnecting")
    lost_at = page.evaluate("performance.now()")
    expect(state).to_have_attribute("data-connection", "live")
    assert page.evaluate("performance.now()") - lost_at > 1_000
    assert len(opened) == 2

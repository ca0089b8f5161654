"""Every page at every width, in both themes, with and without scripts, and by keyboard alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from orpheus.client.http import Client
from tests.dashboard.browser.conftest import OpenPage
from tests.support.system import System

pytestmark = pytest.mark.browser

_LONG = "x" * 100


@pytest.fixture(scope="module")
def addresses(system: System) -> dict[str, str]:
    """The pages, on jobs with the longest names and words there can be."""
    with system.client() as client:
        done = client.submit("wordcount", {"text": _LONG * 5}, tags=[_LONG], queue=_LONG)
        failed = client.submit("fail", {"message": _LONG * 10, "permanent": True})
        later = client.submit("wordcount", {"text": "a"}, delay=3_600)
        for job in (done, failed):
            client.wait(job["id"])
    return {
        "overview": "/",
        "jobs": "/ui/jobs",
        "filtered": f"/ui/jobs?state=failed&state=done&tag={_LONG}",
        "done": f"/ui/jobs/{done['id']}",
        "failed": f"/ui/jobs/{failed['id']}",
        "later": f"/ui/jobs/{later['id']}",
        "workers": "/ui/workers",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(
    open_page: OpenPage, addresses: dict[str, str], theme: str
) -> None:
    page = open_page("/", color_scheme=theme)
    for name, address in addresses.items():
        page.goto(address)
        expect(page.locator("[data-connection=live]")).to_be_visible()
        for width in (320, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            keep(page, f"{name}-{width}-{theme}")


def keep(page: Page, name: str) -> None:
    """A picture for whoever sets ORPHEUS_SHOTS to a folder."""
    if folder := _SHOTS:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


# Read while collecting, before ORPHEUS_* is kept from the tests.
_SHOTS = os.environ.get("ORPHEUS_SHOTS")


@pytest.mark.parametrize(("theme", "canvas"), [("light", 246), ("dark", 14)])
def test_the_system_theme_is_followed_until_one_is_chosen(
    open_page: OpenPage, theme: str, canvas: int
) -> None:
    page = open_page("/", color_scheme=theme)
    assert background(page) == canvas
    switch = page.get_by_role("button", name="Theme: auto")
    switch.click()
    assert background(page) == 246
    page.get_by_role("button", name="Theme: light").click()
    assert background(page) == 14
    page.goto("/ui/workers")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert background(page) == 14


def background(page: Page) -> int:
    """The red of the canvas."""
    return int(
        page.evaluate("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/)[0]")
    )


def test_without_scripts_the_pages_still_show_everything(
    open_page: OpenPage, addresses: dict[str, str]
) -> None:
    page = open_page("/", java_script_enabled=False)
    expect(page.locator("[data-jobs] [data-rows] tr").first).to_be_visible()
    expect(page.locator(".worker").first).to_be_visible()
    expect(page.locator("noscript, .notice").first).to_be_visible()
    expect(page.locator("[data-submit]")).to_be_hidden()
    page.goto(addresses["done"])
    expect(page.locator("#result-text")).to_have_text('{"count": 1}')
    expect(page.locator("[data-act=cancel]")).to_be_hidden()


def test_everything_can_be_reached_by_keyboard(open_page: OpenPage) -> None:
    page = open_page("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                """() => {
                  const e = document.activeElement
                  const outline = getComputedStyle(e)
                  if (e !== document.body && outline.outlineStyle === 'none') return 'invisible'
                  return e.className || e.name || e.tagName
                }"""
            )
        )
    assert "invisible" not in seen
    assert {"brand", "tile", "quiet theme needs-js", "type", "payload", "primary"} <= seen


def test_reduced_motion_means_none(open_page: OpenPage) -> None:
    page = open_page("/", reduced_motion="reduce")
    running = page.evaluate("document.getAnimations().length")
    assert running == 0


def test_times_have_words_and_exact_moments(open_page: OpenPage, client: Client) -> None:
    job = client.submit("wordcount", {"text": "a"})
    page = open_page(f"/ui/jobs/{job['id']}")
    created = page.locator(".facts time").first
    expect(created).to_have_attribute("datetime", job["created_at"])
    expect(created).to_have_attribute(
        "title", job["created_at"].replace("T", " ").replace("Z", " UTC")
    )
    expect(created).to_have_text(re.compile(r"\d s ago"))

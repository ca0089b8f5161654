"""A real browser before an Orpheus with a token: the form, the live page behind it, the way out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.browser.conftest import Watch
from tests.support.system import System

pytestmark = pytest.mark.browser

TOKEN = "s3cret-of-the-browser"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("login"), {"TOKEN": TOKEN})
    try:
        system.start_api()
        yield system
    finally:
        system.stop()


@pytest.fixture
def watched(guarded: System) -> Watch:
    watch = Watch(guarded.url)
    # The browser reports every 401, which is what the form comes with.
    watch.expected = ("401 (Unauthorized)",)
    return watch


def open_as(browser: Browser, guarded: System, watched: Watch, scripts: bool = True) -> Page:
    context = browser.new_context(
        base_url=guarded.url,
        viewport={"width": 320, "height": 700},
        java_script_enabled=scripts,
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    watched.follow(page)
    return page


def log_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_in_and_out(browser: Browser, guarded: System, watched: Watch) -> None:
    page = open_as(browser, guarded, watched)
    page.goto("/ui/jobs?state=failed")
    expect(page.get_by_label("Token")).to_be_focused()
    assert fits(page)
    log_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("That is not the token")
    log_in(page, TOKEN)
    expect(page.locator("[data-connection=live]")).to_be_visible()
    assert page.url == f"{guarded.url}/ui/jobs?state=failed"
    assert fits(page)
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto("/")
    expect(page.get_by_label("Token")).to_be_visible()
    page.context.close()
    assert watched.wrong() == []


def test_without_scripts(browser: Browser, guarded: System, watched: Watch) -> None:
    page = open_as(browser, guarded, watched, scripts=False)
    page.goto("/")
    log_in(page, TOKEN)
    expect(page.get_by_role("heading", name="Latest jobs")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.context.close()
    assert watched.wrong() == []

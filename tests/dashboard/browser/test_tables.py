"""Lists that move: they hold while somebody reads, and say the same live as on a fresh load."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from orpheus.api.pages import formats
from orpheus.client.http import Client
from tests.dashboard.browser.conftest import OpenPage

pytestmark = pytest.mark.browser

_ROWS = "[data-jobs] [data-rows] tr"


def keys(page: Page) -> list[str]:
    found: list[str] = page.locator(_ROWS).evaluate_all("(rows) => rows.map((r) => r.dataset.key)")
    return found


def live(page: Page) -> None:
    expect(page.locator("[data-connection=live]")).to_be_visible()


def test_rows_hold_under_the_pointer(open_page: OpenPage, client: Client) -> None:
    for _ in range(3):
        client.wait(client.submit("wordcount", {"text": "a"})["id"])
    page = open_page("/ui/jobs")
    live(page)
    page.locator(_ROWS).nth(1).hover()
    before = keys(page)
    new = client.submit("wordcount", {"text": "b"})
    pill = page.locator("[data-new]")
    expect(pill).to_have_text("▲ 1 new")
    assert keys(page) == before
    pill.click()
    expect(page.locator(_ROWS).first).to_have_attribute("data-key", str(new["id"]))
    expect(pill).to_be_hidden()


def test_rows_hold_under_the_focus_and_go_on_after_it(open_page: OpenPage, client: Client) -> None:
    client.wait(client.submit("wordcount", {"text": "a"})["id"])
    page = open_page("/ui/jobs")
    live(page)
    link = page.locator(f"{_ROWS} a").first
    link.focus()
    new = client.submit("wordcount", {"text": "b"})
    expect(page.locator("[data-new]")).to_have_text("▲ 1 new")
    expect(link).to_be_focused()
    link.blur()
    expect(page.locator(_ROWS).first).to_have_attribute("data-key", str(new["id"]))


def test_a_row_that_leaves_the_filter_is_dimmed_then_gone(
    open_page: OpenPage, client: Client
) -> None:
    job = client.submit("wordcount", {"text": "a"}, delay=3_600)
    page = open_page("/ui/jobs?state=scheduled")
    live(page)
    row = page.locator(f"tr[data-key='{job['id']}']")
    row.hover()
    client.cancel(job["id"])
    expect(row).to_have_attribute("data-left", "")
    page.mouse.move(5, 5)
    expect(row).to_have_count(0)


def test_filters_live_in_the_address(open_page: OpenPage, client: Client) -> None:
    tagged = client.submit("wordcount", {"text": "a"}, tags=["only-this"])
    client.wait(tagged["id"])
    page = open_page("/ui/jobs")
    page.get_by_label("Tag").fill("only-this")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile(r"/ui/jobs\?tag=only-this$"))
    assert keys(page) == [str(tagged["id"])]
    page.locator(".tile[data-state=failed]").click()
    expect(page.locator("[data-empty]")).to_contain_text("No job matches these filters.")
    page.locator(".chips a", has_text="state").click()
    expect(page).to_have_url(re.compile(r"/ui/jobs\?tag=only-this$"))


def test_pages_follow_each_other_without_a_gap(open_page: OpenPage, client: Client) -> None:
    for _ in range(60):
        last = client.submit("wordcount", {"text": "a"}, tags=["paged"])["id"]
    client.wait(last)
    page = open_page("/ui/jobs?tag=paged")
    live(page)
    first = keys(page)
    page.get_by_role("link", name="Older »").click()
    expect(page.get_by_role("link", name="« Newest")).to_be_visible()
    second = keys(page)
    assert len(first) == 50
    assert first + second == [str(last - n) for n in range(60)]


def test_live_rows_are_what_a_fresh_load_shows(open_page: OpenPage, client: Client) -> None:
    """The same rows written by the templates and by the scripts, compared as markup."""
    page = open_page("/ui/jobs?tag=twice")
    live(page)
    page.evaluate("window.sameDocument = true")
    options: dict[str, Any] = {"tags": ["twice"]}
    jobs = [
        client.submit("wordcount", {"text": "a"}, **options),
        client.submit("fail", {"message": "<i>x</i>", "permanent": True}, **options),
        client.submit("flaky", {"failures": 50}, max_retries=50, **options),
        client.submit("wordcount", {"text": "a"}, delay=7_200, **options),
    ]
    for job in jobs[:2]:
        client.wait(job["id"])
    client.cancel(jobs[2]["id"])
    client.wait(jobs[2]["id"])
    for job, state in zip(jobs, ("done", "failed", "cancelled", "scheduled"), strict=True):
        expect(page.locator(f"tr[data-key='{job['id']}']")).to_have_attribute("data-state", state)
    assert page.evaluate("window.sameDocument") is True
    by_scripts = markup(page)
    # Without scripts: what the server wrote.
    fresh = open_page("/ui/jobs?tag=twice", java_script_enabled=False)
    assert len(by_scripts) == 4
    assert by_scripts == markup_of(fresh.content())


def markup(page: Page) -> list[str]:
    return markup_of(page.content())


def markup_of(html: str) -> list[str]:
    """Rows with white space made equal and the words that depend on the moment left out."""
    body = html.split("<tbody", 1)[1].split("</tbody", 1)[0]
    rows = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    rows = [re.sub(r"(<time[^>]*>)[^<]*", r"\1", row) for row in rows]
    rows = [re.sub(r"(<time)([^>]*)", _sorted_attributes, row) for row in rows]
    return [re.sub(r"\s+(?=<)|(?<=>)\s+", "", re.sub(r"\s+", " ", row)) for row in rows]


def _sorted_attributes(tag: re.Match[str]) -> str:
    return " ".join([tag[1], *sorted(re.findall(r'[a-z-]+="[^"]*"', tag[2]))])


def test_both_languages_write_times_alike(open_page: OpenPage) -> None:
    page = open_page("/")
    module = page.locator("script[type=module]").get_attribute("src") or ""
    spans = [0, 1, 999, 1_000, 1_239, 59_999, 60_000, 192_345, 3_599_999, 7_500_000, 90_061_000]
    start = "2026-01-31T12:00:00.000999Z"
    now = formats.milliseconds(start)
    ours = [
        [
            formats.seconds(span / 1_000),
            formats.relative(start, (now + span) * 1_000),
            formats.relative(start, (now - span) * 1_000),
            formats.elapsed(start, (now + span) * 1_000),
            formats.number(span * 977),
            formats.percent(span / 90_061_000),
        ]
        for span in spans
    ]
    theirs = page.evaluate(
        """async ([address, spans, start, now]) => {
          const f = await import(address)
          return spans.map((span) => [f.seconds(span / 1000), f.relative(start, now + span),
            f.relative(start, now - span), f.elapsed(start, now + span), f.number(span * 977),
            f.percent(span / 90061000)])
        }""",
        [module.replace("app.js", "ui/format.js"), spans, start, now],
    )
    assert json.dumps(theirs) == json.dumps(ours)


def test_workers_show_what_they_run(open_page: OpenPage, client: Client) -> None:
    page = open_page("/ui/workers")
    live(page)
    job = client.submit("sleep", {"seconds": 600})
    run = page.locator(f".run[data-key='{job['id']}']")
    expect(run).to_contain_text(f"sleep #{job['id']}")
    expect(page.locator(".worker", has=run).locator(".badge")).to_have_text("Running")
    client.cancel(job["id"])
    expect(run).to_have_count(0, timeout=30_000)

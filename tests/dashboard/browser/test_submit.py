"""The submit box: what is typed goes out as typed, and the page follows the job by itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Request, expect

from orpheus.client.http import Client
from tests.dashboard.browser.conftest import OpenPage, Watch

pytestmark = pytest.mark.browser


def submit(page: Page, type_: str, payload: str) -> None:
    form = page.locator("[data-submit]")
    form.locator("select").select_option(type_)
    form.locator("textarea").fill(payload)
    form.get_by_role("button", name="Submit").click()


def test_a_job_is_seen_from_submit_to_done(open_page: OpenPage) -> None:
    page = open_page("/")
    page.evaluate("window.sameDocument = true")
    submit(page, "sum_range", '{"n": 100000}')

    answer = page.locator("[data-answer]")
    expect(answer).to_contain_text("Done")
    expect(answer).to_contain_text('{"sum": 5000050000}')
    number = answer.locator("[data-f=id]").inner_text()
    row = page.locator("[data-rows] tr", has=page.get_by_text(number, exact=True))
    expect(row).to_have_attribute("data-state", "done")
    assert page.evaluate("window.sameDocument") is True


def test_the_tile_counts_it(open_page: OpenPage, client: Client) -> None:
    page = open_page("/")
    tile = page.locator(".tile[data-state=done] .tile-count")
    before = int(tile.inner_text().replace(",", ""))
    client.wait(client.submit("wordcount", {"text": "to be or not"})["id"])
    expect(tile).not_to_have_text(str(before))


def test_a_refusal_is_shown_as_the_server_tells_it(open_page: OpenPage, watch: Watch) -> None:
    watch.expected = ("the server responded with a status of 422",)
    page = open_page("/")
    submit(page, "sum_range", '{"n": "ten"}')
    problem = page.locator("[data-submit] [data-problem]")
    expect(problem).to_contain_text("The payload does not fit the handler")
    expect(problem.locator("li")).to_contain_text("n")
    expect(problem).to_contain_text("Request ")


def test_text_that_is_no_json_is_not_sent(open_page: OpenPage) -> None:
    page = open_page("/")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    submit(page, "sum_range", '{"n": 1}, "priority": 9')
    expect(page.locator("[data-submit] [data-problem]")).to_contain_text("not valid JSON")
    assert sent == []


def test_big_numbers_go_out_as_typed(open_page: OpenPage, watch: Watch) -> None:
    watch.expected = ("the server responded with a status of 422",)
    page = open_page("/")
    with page.expect_request("**/jobs") as request:
        submit(page, "sum_range", '{"n": 12345678901234567890}')
    assert '{"n": 12345678901234567890}' in (request.value.post_data or "")
    expect(page.locator("[data-submit] [data-problem]")).to_be_visible()


def test_a_type_suggests_its_payload_but_keeps_what_was_typed(open_page: OpenPage) -> None:
    page = open_page("/")
    payload = page.locator("[data-submit] textarea")
    page.locator("[data-submit] select").select_option("countdown")
    expect(payload).to_have_value('{"steps": 5}')
    payload.fill('{"mine": 1}')
    page.locator("[data-submit] select").select_option("sleep")
    expect(payload).to_have_value('{"mine": 1}')

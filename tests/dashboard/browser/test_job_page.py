"""The page of one job, live: output, attempts, result, errors and the two buttons."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from orpheus.client.http import Client
from tests.dashboard.browser.conftest import OpenPage, Watch

pytestmark = pytest.mark.browser


def test_progress_log_and_result_arrive_by_themselves(open_page: OpenPage, client: Client) -> None:
    job = client.submit("countdown", {"steps": 20})
    page = open_page(f"/ui/jobs/{job['id']}")
    page.evaluate("window.sameDocument = true")
    root = page.locator("[data-job]")
    expect(page.locator(".job-progress progress")).to_be_visible()
    expect(page.locator(".log-line").first).to_be_visible()
    expect(root).to_have_attribute("data-state", "done")
    expect(page.locator("#result-text")).to_have_text(result_of(page))
    expect(page.locator(".attempt")).to_have_count(1)
    expect(page.locator(".attempt .badge")).to_have_text("Done")
    assert page.evaluate("window.sameDocument") is True


def test_printed_lines_say_where_they_were_printed(open_page: OpenPage, client: Client) -> None:
    job = client.submit("talk", delay=1)
    page = open_page(f"/ui/jobs/{job['id']}")
    expect(page.locator("[data-job]")).to_have_attribute("data-state", "done")
    line = page.locator(".log-line")
    for _ in ("live", "loaded again"):
        for source, text in (("warning", "log"), ("stdout", "output"), ("stderr", "error")):
            said = line.filter(has_text=f"to the {text}" if text == "log" else f"standard {text}")
            expect(said.locator(".log-level")).to_have_text(source)
        page.reload()


def result_of(page: Page) -> str:
    """What a fresh load shows."""
    number = page.locator("[data-job]").get_attribute("data-job")
    return page.request.get(f"/ui/jobs/{number}/result").text()


def test_a_failure_shows_its_traceback(open_page: OpenPage, client: Client) -> None:
    job = client.submit("fail", {"message": "<b>no such bucket</b>", "permanent": True})
    client.wait(job["id"])
    page = open_page(f"/ui/jobs/{job['id']}")
    wrong = page.locator(".wrong")
    expect(wrong.locator(".error-text")).to_have_text("PermanentError: <b>no such bucket</b>")
    expect(wrong.locator("pre")).to_contain_text("Traceback (most recent call last):")
    expect(page.locator(".attempt .badge")).to_have_text("Failed permanent")


def test_the_buttons_follow_the_state(open_page: OpenPage, client: Client) -> None:
    job = client.submit("wordcount", {"text": "to be"}, delay=3_600)
    page = open_page(f"/ui/jobs/{job['id']}")
    actions = page.locator(".actions")
    cancel = actions.locator("[data-act=cancel]")
    retry = actions.locator("[data-act=retry]")
    root = page.locator("[data-job]")
    expect(retry).to_have_text("Run now")
    cancel.click()
    expect(root).to_have_attribute("data-state", "cancelled")
    expect(cancel).to_be_disabled()
    expect(retry).to_have_text("Retry")
    retry.click()
    expect(root).to_have_attribute("data-state", "done")
    expect(page.locator("#result-text")).to_have_text('{"count": 2}')
    expect(cancel).to_be_disabled()
    expect(retry).to_be_disabled()


def test_a_running_job_can_be_cancelled(open_page: OpenPage, client: Client) -> None:
    job = client.submit("sleep", {"seconds": 600})
    page = open_page(f"/ui/jobs/{job['id']}")
    root = page.locator("[data-job]")
    expect(root).to_have_attribute("data-state", "in_progress")
    page.locator("[data-act=cancel]").click()
    expect(root).to_have_attribute("data-state", "cancelled", timeout=30_000)
    expect(page.locator(".attempt .badge")).to_have_text("Cancelled")


def test_a_refused_act_says_why(open_page: OpenPage, client: Client, watch: Watch) -> None:
    """The page believes the job is running on; the server knows better."""
    watch.expected = ("the server responded with a status of 409",)
    job = client.submit("wordcount", {"text": "to be"})
    client.wait(job["id"])
    page = open_page(f"/ui/jobs/{job['id']}")
    expect(page.locator("[data-connection=live]")).to_be_visible()
    page.locator("[data-act=retry]").evaluate("(button) => { button.disabled = false }")
    page.locator("[data-act=retry]").click()
    problem = page.locator(".job-head [data-problem]")
    expect(problem).to_contain_text("The job's state does not allow this")
    expect(page.locator("[data-act=retry]")).to_be_disabled()


def test_an_unknown_job_is_a_page(open_page: OpenPage, watch: Watch) -> None:
    watch.expected = ("the server responded with a status of 404",)
    page = open_page("/")
    for address in ("/ui/jobs/999999999", "/ui/jobs/seven", f"/ui/jobs/{'9' * 40}", "/ui/what"):
        page.goto(address)
        expect(page.locator(".lost-status")).to_have_text("404")


def test_the_field_for_an_id_leads_to_the_job(open_page: OpenPage, client: Client) -> None:
    job = client.submit("wordcount", {"text": ""})
    page = open_page("/ui/jobs")
    page.get_by_label("Job id").fill(f"#{job['id']}")
    page.get_by_label("Job id").press("Enter")
    expect(page).to_have_url(f"{page.url.split('/ui')[0]}/ui/jobs/{job['id']}")

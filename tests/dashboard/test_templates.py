"""The pages as text: what is escaped, what is always there, what must never be there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from orpheus.api.pages.rendering import Pages
from tests.dashboard.samples import AT, job, job_page, overview

HOSTILE = "</template></script><img src=x onerror=alert(1)>\"'{{7*7}}"
STATES = ("scheduled", "blocked", "pending", "in_progress", "done", "failed", "cancelled")


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages()


def test_hostile_text_stays_text_in_lists(pages: Pages) -> None:
    error = {"type": HOSTILE, "message": HOSTILE, "kind": "failed"}
    progress = {"value": 0.5, "message": HOSTILE}
    rows = [
        job(type=HOSTILE, queue=HOSTILE, error=error, state="failed"),
        job(id=8, type=HOSTILE, state="in_progress", progress=progress, finished_at=None),
    ]
    html = pages.html("overview.html", **overview(jobs={"items": rows}))
    assert "<img" not in html
    assert html.count("&lt;img src=x") == html.count("{{7*7}}") == 7


def test_hostile_text_stays_text_on_the_job_page(pages: Pages) -> None:
    error = {"type": HOSTILE, "message": HOSTILE, "kind": "failed", "traceback": HOSTILE}
    attempt = {
        "attempt": 1,
        "worker": HOSTILE,
        "pid": 1,
        "claimed_at": AT,
        "started_at": AT,
        "finished_at": AT,
        "outcome": "failed",
        "error": error,
        "exit": HOSTILE,
    }
    line = {
        "seq": 1,
        "at": AT,
        "attempt": 1,
        "level": "info",
        "stream": "log",
        "message": HOSTILE,
        "fields_text": HOSTILE,
    }
    html = pages.html(
        "job.html",
        **job_page(
            job=job(type=HOSTILE, tags=[HOSTILE], error=error, attempts=[attempt]),
            texts={"payload": HOSTILE, "result": HOSTILE, "meta": HOSTILE},
            logs=[line],
        ),
    )
    assert "<img" not in html


def test_hostile_filters_stay_inside_their_attribute(pages: Pages) -> None:
    """The live arguments are JSON in an attribute in single quotes."""
    query = replace(overview()["query"], tags=("'><img src=x>",))
    html = pages.html("overview.html", **overview(query=query))
    assert "<img" not in html


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_its_icon_and_label(pages: Pages, state: str) -> None:
    html = pages.html("overview.html", **overview(jobs={"items": [job(state=state)]}))
    assert f'<symbol id="i-{state}"' in html
    assert f'data-state="{state}"><svg class="icon"' in html


def test_every_badge_has_a_symbol(pages: Pages) -> None:
    words = "failed_permanent timed_out crashed interrupted claimed starting idle running draining"
    html = pages.html("overview.html", **overview())
    assert all(f'<symbol id="i-{word}"' in html for word in words.split())


def test_nothing_inline_that_the_policy_refuses(project_root: Path) -> None:
    folder = project_root / "orpheus" / "dashboard" / "templates"
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://", text), path
        assert not re.search(r"<script(?![^>]* src=)", text), path


def test_no_markup_is_made_in_scripts(project_root: Path) -> None:
    folder = project_root / "orpheus" / "dashboard" / "static" / "js"
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|Function\("
    for path in folder.rglob("*.js"):
        assert not re.search(sinks, path.read_text(encoding="utf-8")), path


def test_safe_is_used_for_our_own_shapes_only(project_root: Path) -> None:
    folder = project_root / "orpheus" / "dashboard" / "templates"
    users = [
        p.name for p in folder.rglob("*.html") if re.search(r"\|\s*safe", p.read_text("utf-8"))
    ]
    assert users == ["sprite.html"]


def test_an_empty_overview_shows_what_to_type(pages: Pages) -> None:
    html = pages.html("overview.html", **overview(curl_line="curl --json '{}' http://h/jobs"))
    assert "No jobs yet." in html
    assert "curl --json &#39;{}&#39; http://h/jobs" in html
    assert "orpheus worker" in html


def test_stored_numbers_are_shown_as_stored(pages: Pages) -> None:
    texts = {"payload": '{"n": 12345678901234567890}', "result": "1.10", "meta": "{}"}
    html = pages.html("job.html", **job_page(texts=texts))
    assert "12345678901234567890" in html
    assert ">1.10</pre>" in html

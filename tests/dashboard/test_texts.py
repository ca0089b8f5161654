"""The small pure parts: formats, JSON text, examples, addresses."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from orpheus.api.pages import formats
from orpheus.api.pages.example import example_payload
from orpheus.api.pages.json_text import indent
from orpheus.api.pages.query import JobsQuery
from orpheus.errors import InvalidRequest

NOON = "2026-01-31T12:00:00.000000Z"
NOON_US = 1_769_860_800_000_000

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (0.999, "now"),
        (-0.5, "now"),
        (1, "1 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3_600, "1 h ago"),
        (90_000, "1 d ago"),
        (-5, "in 5 s"),
        (-7_200, "in 2 h"),
    ],
)
def test_relative(seconds: float, text: str) -> None:
    assert formats.relative(NOON, NOON_US + int(seconds * 1_000_000)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "<1 ms"),
        (0.012, "12 ms"),
        (1.239, "1.23 s"),
        (59.999, "59.99 s"),
        (192, "3 m 12 s"),
        (7_500, "2 h 5 m"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert formats.seconds(seconds) == text


def test_other_formats() -> None:
    assert formats.number(1_234_567) == "1,234,567"
    assert formats.percent(0.999) == "99 %"
    assert formats.absolute(NOON) == "2026-01-31 12:00:00.000000 UTC"
    assert formats.elapsed(NOON, NOON_US - 5) == "0 s"


@given(JSON)
def test_indenting_adds_white_space_only(value: object) -> None:
    stored = json.dumps(value, separators=(",", ":"))
    shown = indent(stored)
    outside = re.split(r'("(?:[^"\\]|\\.)*")', shown)
    assert "".join(p if i % 2 else re.sub(r"\s", "", p) for i, p in enumerate(outside)) == stored


def test_indenting_keeps_numbers_and_empty_containers() -> None:
    stored = json.dumps({"name": "x" * 80, "empty": [{}, []]})
    stored = stored.replace('"name"', '"n":1e400,"m":1.10,"name"')
    assert indent(stored).splitlines() == [
        "{",
        '  "n": 1e400,',
        '  "m": 1.10,',
        f'  "name": "{"x" * 80}",',
        '  "empty": [',
        "    {},",
        "    []",
        "  ]",
        "}",
    ]


def test_very_long_text_is_left_alone() -> None:
    stored = json.dumps(["x"] * 20_000, separators=(",", ":"))
    assert indent(stored) == stored


def test_examples_name_every_property() -> None:
    schema = {
        "properties": {
            "n": {"type": "integer", "minimum": 0},
            "text": {"type": "string"},
            "how": {"enum": ["exit", "segv"]},
            "width": {"type": "integer", "default": 800},
        },
    }
    assert example_payload(schema) == ('{"n": 1, "text": "", "how": "exit", "width": 800}')
    assert example_payload({}) == "{}"


def test_the_address_is_the_view() -> None:
    query = JobsQuery.read(QueryParams("state=failed,done&state=done&type=&queue=mail&before=70"))
    assert query.states == ("failed", "done")
    assert query.types == ()
    assert query.url == "/ui/jobs?state=failed&state=done&queue=mail&before=70"
    assert query.toggle_state("done").url == "/ui/jobs?state=failed&queue=mail"
    assert query.toggle_state("pending").states == ("failed", "done", "pending")
    assert [(name, value) for name, value, _ in query.chips] == [
        ("state", "failed"),
        ("state", "done"),
        ("queue", "mail"),
    ]
    assert query.chips[2][2].url == "/ui/jobs?state=failed&state=done"
    assert JobsQuery().url == "/ui/jobs"


def test_only_the_newest_page_is_live() -> None:
    assert JobsQuery(states=("done",)).live_args == {"state": ("done",), "limit": 50}
    assert JobsQuery(before=9).live_args is None


@pytest.mark.parametrize("before", ["x", "-1", "1" * 40])
def test_a_forged_position_is_refused(before: str) -> None:
    with pytest.raises(InvalidRequest):
        JobsQuery.read(QueryParams({"before": before}))

"""scripts/bench: its arithmetic, its tables and its part of the README; nothing is measured."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bench.chart import bars
from bench.figures import median, percentile, plain, spread, with_spread
from bench.marks import FOLDER, Marks, count, stamp
from bench.publish import BEGIN, END, between_markers
from bench.report import markdown, peers_table, section
from bench.results import Results
from bench.verdicts import verdicts


def found() -> Results:
    results = Results()
    results.machine = {"cores": "2"}
    for rate in (900.0, 1000.0, 1100.0):
        results.add("peers", "huey (SQLite)", "drain", "jobs/s", rate, "synced")
    results.add("peers", "Orpheus", "drain", "jobs/s", 18_000.0, "synced")
    results.add("peers", "Orpheus", "p50", "ms", 2.0)
    results.skip("peers", "Celery (Redis)", "no redis-server | here")
    return results


def test_median_and_spread() -> None:
    assert median([3, 1, 2]) == 2
    assert spread([90, 100, 110]) == pytest.approx(0.2)
    assert spread([5]) == 0
    assert spread([0, 0]) == 0


@pytest.mark.parametrize(("share", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_a_sample(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_a_percentile_of_one_sample_is_that_sample() -> None:
    assert percentile([7.0], 99) == 7.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (41_349, "41,300"), (999.6, "1000"), (123.4, "123"), (12.34, "12.3"),
     (1.234, "1.23"), (0.0456, "0.046")],
)  # fmt: skip
def test_numbers_as_people_read_them(value: float, text: str) -> None:
    assert plain(value) == text


def test_the_spread_is_shown_as_half_of_it() -> None:
    assert with_spread([90, 100, 110]) == "100 ± 10 %"
    assert with_spread([100]) == "100"


def test_a_section_has_a_row_a_subject_and_a_column_a_figure() -> None:
    lines = section(found(), "peers").splitlines()
    assert lines[0] == "|   | drain (jobs/s) | p50 (ms) |"
    assert lines[2] == "| huey (SQLite) | 1,000 ± 10 % | – |"
    assert lines[3] == "| Orpheus | 18,000 | 2.00 |"


def test_the_whole_report_names_what_is_missing_and_keeps_its_columns() -> None:
    text = markdown(found())
    assert "no redis-server \\| here" in text
    assert "# Benchmarks" in text


def test_the_fastest_comes_first_in_the_readme() -> None:
    rows = peers_table(found()).splitlines()[2:]
    assert rows[0].startswith("| **Orpheus** | 18,000 | 2.00 / – |")


def test_verdicts_are_ratios_within_the_run() -> None:
    (huey, best) = [verdict for verdict in verdicts(found()) if "drain" in verdict.figure]
    assert (huey.found, huey.word) == (18.0, "must")
    assert (best.found, best.word) == (18.0, "aim")


def test_what_falls_short_says_so() -> None:
    results = Results()
    results.add("wal", "load", "largest WAL", "MB", 65.0)
    (verdict,) = verdicts(results)
    assert verdict.word == "**short**"


def test_only_what_is_between_the_markers_changes() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = between_markers(text, "new\n")
    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert between_markers(once, "new\n") == once


def test_without_markers_nothing_is_replaced() -> None:
    with pytest.raises(ValueError, match="markers"):
        between_markers("no markers", "new")


def test_the_readme_has_the_markers(project_root: Path) -> None:
    text = (project_root / "README.md").read_text(encoding="utf-8")
    assert between_markers(text, "new")


def test_the_chart_is_well_formed_and_asks_nobody() -> None:
    text = bars("A & B", [("a <b>", 1.0), ("Orpheus", 2.0)], "Orpheus")
    ET.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    assert text.count("http") == 1  # the name of the SVG language
    assert text.index("Orpheus") < text.index("a &lt;b&gt;")


def test_counts_and_stamps_of_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    judge = Marks(tmp_path)
    for _ in range(3):
        count()
    stamp(1)
    stamp(0)
    assert judge.counted() == 3
    assert os.listdir(tmp_path) != []
    first, second = judge.waits()
    assert first > second == judge.waits(skip=1)[0]
    judge.clear()
    assert judge.waits() == []
